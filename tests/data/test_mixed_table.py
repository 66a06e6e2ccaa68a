"""Mixed tables as a dataset: splits, given columns, classes and holes; also in the terms of a density."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.config.overlay import parse_overrides
from ar_lightning.config.resolve import load_config, reload_config, save_config, saved_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable, Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS
from ar_lightning.data.user.table import TableFile
from ar_lightning.media.frames import to_frame
from tests.support.files import one_line

N = 200
RANDOM = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.poisson(40, N),
        "sex": RANDOM.choice(["f", "m"], N),
        "income": np.where(RANDOM.rand(N) < 0.3, 0.0, RANDOM.randn(N).round(3)),
        "born": (np.datetime64("1980-01-01") + RANDOM.randint(0, 9000, N)).astype(str),
        "name": [f"n{i}" for i in range(N)],
        "job": RANDOM.choice(["cook", "clerk", "smith"], N),
    }
)
COLUMNS = ["age", "sex", "income", "born", "job"]


def saved(folder: Path, frame: pd.DataFrame = FRAME, name: str = "mine.csv", **how: Any) -> str:
    frame.to_csv(folder / name, **{"index": False} | how)
    return str(folder / name)


def table_of(data: TableFile) -> MixedTable:
    assert isinstance(data.spec.medium, MixedTable)
    return data.spec.medium


def rows_of(data: TableFile) -> pd.DataFrame:
    """All rows as they are in the file, the splits one after the other."""
    x = np.concatenate([split.x for split in data.load().values()])
    return to_frame(torch.from_numpy(x), table_of(data))


def sorted_rows(frame: pd.DataFrame) -> list[list[str]]:
    return sorted(frame[COLUMNS].astype(str).to_numpy().tolist())


def test_splits_hold_all_rows_once(tmp_path: Path) -> None:
    data = TableFile(path=saved(tmp_path))
    assert table_of(data).names == tuple(COLUMNS) and data.spec.support == "mixed" and data.spec.shape == (1, 5)
    assert [len(data.load()[name].x) for name in SPLITS] == [160, 20, 20]
    assert sorted_rows(rows_of(data)) == sorted_rows(FRAME)
    for part in ("without name (text of its own in every row)", "2 of categories", "levels of all rows", "160/20/20"):
        assert part in data.regime
    tests = []
    for fold in range(4):
        folded = TableFile(path=saved(tmp_path), folds=4, fold=fold)
        tests.append(to_frame(torch.from_numpy(folded.load()["test"].x), table_of(folded)))
    assert sorted_rows(pd.concat(tests)) == sorted_rows(FRAME)
    again = DataSpec.from_dict(data.spec.to_dict())
    assert again == data.spec and table_of(data).header == again.medium.header  # type: ignore[union-attr]


def test_holes_are_nan_and_what_they_are_is_said(tmp_path: Path) -> None:
    holed = FRAME.astype(object).mask(RANDOM.rand(*FRAME.shape) < 0.2)
    data, level = (TableFile(path=saved(tmp_path, holed), missing_level=flag) for flag in (False, True))
    assert {column.gaps for column in table_of(data).columns} == {"unread"}
    assert {column.gaps for column in table_of(level).columns} == {"level"}
    x = np.concatenate([split.x for split in data.load().values()])
    assert np.isnan(x).sum() == holed[COLUMNS].isna().sum().sum()
    said = {row[0]: row[3] for row in data.describe()[1:]}
    assert said["age"] == f"{holed['age'].isna().mean():.1%}"
    one = TableFile(path=saved(tmp_path, FRAME.replace({"job": {"cook": "unknown"}})), missing=["unknown"])
    assert [c.gaps for c in table_of(one).columns] == ["none"] * 4 + ["unread"]


def test_given_columns_come_first_and_the_label_is_the_class(tmp_path: Path) -> None:
    data = TableFile(path=saved(tmp_path), given=["job", "age"], label="sex")
    assert table_of(data).names == ("job", "age", "income", "born") and data.spec.given == 2
    assert [*table_of(data).header] == [name for name in FRAME.columns if name != "name"]
    assert data.spec.classes == 2 and data.spec.labels == ("f", "m")
    sex = {(row.age, row.job, row.born): row.sex for row in FRAME.itertuples()}
    for split in data.load().values():
        assert split.labels is not None
        frame = to_frame(torch.from_numpy(split.x), table_of(data))
        for row, y in zip(frame.itertuples(), split.labels, strict=True):
            assert sex[row.age, row.job, str(row.born.date())] == data.spec.label_of(int(y))
    assert [row[:2] for row in data.describe()[1:4]] == [
        ["sex", "class"], ["job", "category, given"], ["age", "integer, given"],
    ]  # fmt: skip


def test_all_reals_are_a_table_of_reals(tmp_path: Path) -> None:
    """Also beside a column that is left out; what is shown says so."""
    frame = pd.DataFrame(RANDOM.randn(N, 2), columns=["a", "b"]).assign(name=FRAME["name"])
    data = TableFile(path=saved(tmp_path, frame))
    asked = TableFile(path=saved(tmp_path, frame, "other.csv"), drop=["name"], types="real")
    assert isinstance(data.spec.medium, Table) and data.spec == asked.spec
    for name in SPLITS:
        np.testing.assert_array_equal(data.load()[name].x, asked.load()[name].x)
    assert "without name (text of its own in every row)" in data.regime and data.describe() and not asked.describe()


def test_other_files_are_read_in_the_terms_of_a_density(tmp_path: Path) -> None:
    """Its levels and units, whatever the other file would suggest, and columns in any order."""
    trained = TableFile(path=saved(tmp_path))
    few = FRAME.iloc[:30][[*reversed(FRAME.columns)]].assign(extra=1)
    other = TableFile(path=saved(tmp_path, few, "few.csv")).in_terms_of(trained.spec)
    assert other.spec == trained.spec
    assert sorted_rows(rows_of(other)) == sorted_rows(few)  # type: ignore[arg-type]
    same = TableFile(path=saved(tmp_path)).in_terms_of(trained.spec)
    assert same.regime == trained.regime
    wrong = few.assign(job=["cok", *few["job"][1:]])
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, wrong, "wrong.csv")).in_terms_of(trained.spec).load()
    assert "line 2, column job: unknown category 'cok'; did you mean 'cook'?" in one_line(info)


def test_labels_of_another_file_are_those_of_the_density(tmp_path: Path) -> None:
    trained = TableFile(path=saved(tmp_path), label="job")
    points = FRAME.assign(job=FRAME["job"] + ".")
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, points, "points.csv"), label="job").in_terms_of(trained.spec).load()
    assert "column job: unknown class '" in one_line(info) and ".'; did you mean '" in one_line(info)


def test_arrays_may_have_holes_and_splits(tmp_path: Path) -> None:
    x = np.where(RANDOM.rand(90, 3) < 0.1, np.nan, RANDOM.randn(90, 3))
    np.savez(tmp_path / "a.npz", train=x[:60], valid=x[60:70], test=x[70:])
    data = TableFile(path=str(tmp_path / "a.npz"))
    assert {c.gaps for c in table_of(data).columns} == {"unread"} and "splits of the file" in data.regime
    back = to_frame(torch.from_numpy(data.load()["test"].x), table_of(data)).to_numpy()
    np.testing.assert_allclose(back, x[70:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["parquet", "excel"])
def test_types_of_other_files(kind: str, tmp_path: Path) -> None:
    pytest.importorskip({"parquet": "pyarrow", "excel": "openpyxl"}[kind])
    frame = FRAME.assign(born=pd.to_datetime(FRAME["born"]), keeps=RANDOM.rand(N) < 0.5)
    frame.loc[3, "sex"] = None
    path = tmp_path / {"parquet": "a.parquet", "excel": "a.xlsx"}[kind]
    frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    columns = {column.name: column for column in table_of(TableFile(path=str(path))).columns}
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == dict(zip(COLUMNS, ("integer", "category", "real", "date", "category"), strict=True)) | {
        "keeps": "category"
    }
    assert (
        columns["born"].days and columns["sex"].gaps == "unread" and set(columns["keeps"].levels) == {"True", "False"}
    )


def test_rare_levels_become_one(tmp_path: Path) -> None:
    frame = FRAME.assign(job=["a"] * 100 + ["b"] * 60 + ["c", "d", "e", "f"] * 10)
    data = TableFile(path=saved(tmp_path, frame), max_levels=3)
    job = next(column for column in table_of(data).columns if column.name == "job")
    assert job.levels == ("a", "b", "(other)") and job.other and "rare levels as one: 4 of job" in data.regime
    assert rows_of(data)["job"].value_counts()["(other)"] == 40


def test_types_are_a_key_of_the_config(tmp_path: Path) -> None:
    keys = ["model=deep_nade", "data=table", f"data.path={saved(tmp_path)}", "data.types={sex: category, age: real}"]
    config = load_config(None, keys)
    assert config["data"]["types"] == {"sex": "category", "age": "real"}
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml")["data"] == config["data"]
    assert load_config(None, [*keys[:3], "data.types=real"])["data"]["types"] == "real"
    with pytest.raises(UserError) as info:
        load_config(None, [*keys[:3], "data.types={sex: text}"])
    assert "data.types: expected {name: real | integer | category | date, ...}" in one_line(info)
    assert parse_overrides(["data.types.sex=category"])[1] == {"data.types": {"sex": "category"}}


def test_runs_of_older_versions_read_real_numbers(tmp_path: Path) -> None:
    """Their configs have no types, and their tables had real values alone."""
    config = load_config(None, ["model=rnade", "data=table", f"data.path={saved(tmp_path)}"])
    older = config | {"data": {key: value for key, value in config["data"].items() if key != "types"}}
    assert config["data"]["types"] is None and saved_config(config, "")["data"]["types"] is None
    assert saved_config(older, "")["data"]["types"] == "real"
    for saved_as, types in ((older, "real"), (config, None)):
        save_config(saved_as, tmp_path / "config.yaml")
        assert reload_config(tmp_path / "config.yaml")["data"]["types"] == types
    whole = pd.DataFrame(RANDOM.poisson(30, (N, 2)), columns=["a", "b"])
    real = TableFile(path=saved(tmp_path, whole), types="real")
    assert isinstance(real.spec.medium, Table) and isinstance(
        table_of(TableFile(path=saved(tmp_path, whole))), MixedTable
    )
    known = TableFile(path=saved(tmp_path, whole)).in_terms_of(real.spec)
    assert known.spec == real.spec and replace(known.spec, medium=None).shape == (1, 2)
