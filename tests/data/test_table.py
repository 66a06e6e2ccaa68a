"""Tables: every dialect reads the same, training rows alone standardise, densities change with the unit."""

import subprocess
import sys
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.config.build import build_density
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, shuffled
from ar_lightning.data.standardised import fold_of
from ar_lightning.data.user.table import TableFile
from tests.support.files import one_line

NAMES = ("fixed acidity", "pH", "alcohol")
X = np.random.default_rng(0).normal([7, 3, 10], [2, 0.1, 1], (60, 3)).round(4)


def csv_text(x: np.ndarray = X, delimiter: str = ",", names: tuple[str, ...] = NAMES, quote: str = "") -> str:
    header = [delimiter.join(f"{quote}{name}{quote}" for name in names)] if names else []
    return "\n".join([*header, *(delimiter.join(map(str, row)) for row in x.tolist())]) + "\n"


def saved(folder: Path, content: str | bytes, name: str = "mine.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def table_of(data: TableFile) -> Table:
    assert isinstance(data.spec.medium, Table)
    return data.spec.medium


def original(data: TableFile) -> dict[str, np.ndarray]:
    """The rows of each split, back in the units of the columns."""
    table = table_of(data)
    return {name: np.array(table.offset) + np.array(table.scale) * s.x[:, 0] for name, s in data.load().items()}


def rows_sorted(x: np.ndarray) -> np.ndarray:
    return x[np.lexsort(x.T)]


DIALECTS = {
    "commas": csv_text(),
    "semicolons, quoted": csv_text(delimiter=";", quote='"'),
    "semicolons, decimals after a comma": csv_text(delimiter=";").replace(".", ","),
    "no header, tabs, decimals after a comma": csv_text(delimiter="\t", names=()).replace(".", ","),
    "tabs": csv_text(delimiter="\t"),
    "spaces, aligned": csv_text(delimiter="   ", names=()),
    "spaces, quoted names": csv_text(delimiter=" ", quote='"'),
    "no header": csv_text(names=()),
    "spaces after commas": csv_text(delimiter=", "),
    "Windows, with a byte-order mark and blank lines": "\ufeff" + csv_text().replace("\n", "\r\n\r\n"),
    "names of two lines": csv_text(quote='"').replace("p", "p\n", 1),
    "quoted numbers": "\n".join(",".join(f'"{v}"' for v in row) for row in X.tolist()),
    "no newline at the end": csv_text().rstrip(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_holds_the_same_rows(dialect: str, tmp_path: Path) -> None:
    data = TableFile(path=saved(tmp_path, DIALECTS[dialect]))
    assert data.spec.shape == (1, 3) and data.spec.levels is None
    named = not dialect.startswith(("no header", "spaces, aligned", "quoted numbers"))
    assert table_of(data).columns == (NAMES if named else ("x0", "x1", "x2"))
    every = np.concatenate(list(original(data).values()))
    np.testing.assert_allclose(rows_sorted(every), rows_sorted(X), rtol=1e-6)
    assert [len(s.x) for s in data.load().values()] == [48, 6, 6]


@pytest.mark.parametrize("kind", ["parquet", "excel"])
def test_parquet_and_excel_hold_the_same_rows_as_csv(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=NAMES)
    path = tmp_path / {"parquet": "mine.parquet", "excel": "mine.xlsx"}[kind]
    write_frame(frame, path)
    data, text = TableFile(path=str(path)), TableFile(path=saved(tmp_path, csv_text()))
    assert table_of(data) == table_of(text)
    for name in SPLITS:
        np.testing.assert_array_equal(data.load()[name].x, text.load()[name].x)
    frame["who"], frame["when"], frame["whole"] = "me", pd.Timestamp("2026-01-01"), range(60)
    frame.loc[2, "pH"] = np.nan
    write_frame(frame, path)
    for drop, message in (
        ([], "row 2, column pH: a value is missing" if kind == "parquet" else "row 4, column pH: a value is missing"),
        (["pH"], "column who is text, not numbers; leave it out: data.drop=[who]"),
        (["pH", "who"], "column when is text, not numbers"),
    ):
        rest = frame.drop(columns=["who", "when"]) if not drop else frame
        write_frame(rest, path)
        with pytest.raises(UserError) as info:
            TableFile(path=str(path), drop=drop, types="real").load()
        assert message in one_line(info)
    assert table_of(TableFile(path=str(path), drop=["pH", "who", "when"], types="real")).columns == (
        *NAMES[::2],
        "whole",
    )
    path.write_bytes(b"no")
    with pytest.raises(UserError) as info:
        TableFile(path=str(path)).load()
    assert f"not a file of {kind.capitalize()}, or a damaged one" in one_line(info)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)


@pytest.mark.parametrize(("kind", "name"), [("parquet", "pyarrow"), ("excel", "openpyxl")])
def test_what_is_not_installed_is_named_with_its_extra(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / {"parquet": "a.parquet", "excel": "a.xlsx"}[kind]
    write_frame(pd.DataFrame(X, columns=NAMES), path)

    def without(*_: object, **__: object) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pd, f"read_{kind}", without)
    with pytest.raises(UserError) as info:
        TableFile(path=str(path)).load()
    assert f"ar_lightning[{kind}]" in one_line(info)


@pytest.mark.parametrize("kind", ["parquet", "excel"])
def test_what_does_not_fit_in_memory_is_not_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / {"parquet": "a.parquet", "excel": "a.xlsx"}[kind]
    write_frame(pd.DataFrame(X, columns=NAMES), path)
    monkeypatch.setattr("ar_lightning.data.frame_file.available_memory", lambda: 1000)
    monkeypatch.setattr(pd, f"read_{kind}", None)
    with pytest.raises(UserError) as info:
        TableFile(path=str(path)).load()
    assert "GiB of memory" in one_line(info)


def test_arrays_beside_the_rows_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=X, who=np.arange(60))
    assert "without who" in TableFile(path=str(tmp_path / "a.npz")).regime
    np.savez(tmp_path / "b.npz", x_train=X, y_train=np.arange(60))
    assert "without y_train" in TableFile(path=str(tmp_path / "b.npz")).regime
    np.savez(tmp_path / "c.npz", train=X, vaild=X)
    with pytest.raises(UserError) as info:
        TableFile(path=str(tmp_path / "c.npz")).load()
    assert "is it 'valid'" in one_line(info)


def test_arrays_keep_their_splits(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=X[:40], valid=X[40:50], test=X[50:])
    data = TableFile(path=str(tmp_path / "a.npz"))
    for name, x in zip(SPLITS, (X[:40], X[40:50], X[50:]), strict=True):
        np.testing.assert_allclose(original(data)[name], x, rtol=1e-6)
    assert "splits of the file" in data.regime and "40/10/10" in data.regime
    np.savez(tmp_path / "b.npz", data=X)
    held = TableFile(path=str(tmp_path / "b.npz"))
    assert "valid and test held out with seed 0" in held.regime
    np.testing.assert_allclose(rows_sorted(np.concatenate(list(original(held).values()))), rows_sorted(X), rtol=1e-6)


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["folds/one"] = X
    for key in (None, "folds/one"):
        every = np.concatenate(list(original(TableFile(path=str(path), key=key)).values()))
        np.testing.assert_allclose(rows_sorted(every), rows_sorted(X), rtol=1e-6)
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", (10**9, 10**6), "f8", chunks=True)  # of which nothing is written
    with pytest.raises(UserError) as info:
        TableFile(path=str(tmp_path / "large.h5")).load()
    assert "takes 7,450,580.6 GiB of memory" in one_line(info)
    with h5py.File(path, "a") as file:
        file["folds/two"] = X[:30]
    for key, message in (
        (None, "give data.key, one of folds/one, folds/two"),
        ("folds/tow", "did you mean 'folds/two'"),
    ):
        with pytest.raises(UserError) as info:
            TableFile(path=str(path), key=key).load()
        assert message in one_line(info)
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, "no", "b.h5")).load()
    assert "not an .hdf5 file" in one_line(info)


def test_hdf5_without_h5py_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, "", "b.hdf5")).load()
    assert "ar_lightning[hdf5]" in one_line(info)


def test_columns_are_dropped_by_name_or_number(tmp_path: Path) -> None:
    path = saved(tmp_path, csv_text())
    for drop in (["pH"], ["1"]):
        data = TableFile(path=path, drop=drop)
        assert table_of(data).columns == ("fixed acidity", "alcohol") and data.spec.shape == (1, 2)
        assert f"without {drop[0]}" in data.regime
    text = csv_text(names=()).replace("\n", ",g\n")
    assert TableFile(path=saved(tmp_path, text), drop=["3"]).spec.shape == (1, 3)


def test_training_rows_alone_standardise(tmp_path: Path) -> None:
    """Their mean is 0 and their variance 1; no change of the other rows changes the statistics."""
    path = saved(tmp_path, csv_text())
    data = TableFile(path=path)
    train = data.load()["train"].x[:, 0].astype(float)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-6)
    moved = X.copy()
    held = [i for i, row in enumerate(X) if not (np.abs(original(data)["train"] - row) < 1e-4).all(1).any()]
    assert len(held) == 12
    moved[held] = moved[held] * 100 + 5
    other = TableFile(path=saved(tmp_path, csv_text(moved), "moved.csv"))
    assert table_of(other) == table_of(data)
    np.testing.assert_array_equal(other.load()["train"].x, data.load()["train"].x)


def test_constant_columns_are_left_out_and_named(tmp_path: Path) -> None:
    index = fold_of(np.array_split(shuffled(60, 0), 10), 0, 0, "")
    x = X.copy()
    x[:, 1] = 5
    x[index["test"], 1] = 6  # varies in the test rows alone: in training it is constant all the same
    data = TableFile(path=saved(tmp_path, csv_text(x)), folds=10)
    assert table_of(data).columns == ("fixed acidity", "alcohol") and "pH (constant)" in data.regime
    assert np.isfinite(np.concatenate([s.x for s in data.load().values()])).all()


def test_columns_of_any_scale_are_standardised(tmp_path: Path) -> None:
    """Squares of 1e-200 are 0 in double precision; what varies by rounding alone is constant."""
    x = X * [1e-200, 1e30, 1]
    x[:, 2] = np.where(np.arange(60) % 3, 0.1 + 0.2, 0.3)
    data = TableFile(path=saved(tmp_path, csv_text(x)))
    assert table_of(data).columns == NAMES[:2] and "alcohol (constant)" in data.regime
    expected = TableFile(path=saved(tmp_path, csv_text(X))).load()
    for name in SPLITS:
        np.testing.assert_allclose(data.load()[name].x, expected[name].x[..., :2], rtol=1e-5, atol=1e-6)


def test_a_value_that_single_precision_cannot_hold_beside_the_others_is_named(tmp_path: Path) -> None:
    x = X.copy()
    x[:, 1] *= 1e-30
    for held, message in (
        (shuffled(60, 0)[-1], "1e+30 is so far from its other values that these become equal in single precision"),
        (shuffled(60, 0)[0], "1e+30 is too far from the values of the training data for single precision"),  # of valid
    ):
        x[:, 1] = X[:, 1] * 1e-30
        x[held, 1] = 1e30
        for types in (None, "real"):
            with pytest.raises(UserError) as info:
                TableFile(path=saved(tmp_path, csv_text(x)), types=types).load()
            assert f"column pH: {message}" in one_line(info)


@pytest.mark.parametrize("likelihood", ["gaussian_mixture", "laplace_mixture"])
def test_densities_in_original_units_are_a_change_of_variables(likelihood: str, tmp_path: Path) -> None:
    """By hand: log p(x) = log p(z) - sum log scale; and p integrates to one over x."""
    path = saved(tmp_path, csv_text(X[:, :1], names=("a",)))
    config = {"model": {"name": "independent", "conditional": False}, "likelihood": {"name": likelihood}}
    densities, tables = {}, {}
    for units in ("standardised", "original"):
        data = TableFile(path=path, units=units)  # type: ignore[arg-type]
        assert ("original units" in data.regime) == (units == "original")
        torch.manual_seed(0)
        densities[units], tables[units] = build_density(config, data.spec).double().eval(), table_of(data)
        for p in densities[units].parameters():
            p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype)
    scale, offset = tables["original"].scale[0], tables["original"].offset[0]
    z = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    per_z, per_x = (densities[u].log_prob(z[:, None, None]) for u in ("standardised", "original"))
    assert torch.allclose(per_x, per_z - log(scale), atol=1e-12)
    x = offset + scale * z
    assert torch.trapezoid(per_x.exp(), x).item() == pytest.approx(1, abs=1e-4)
    assert torch.trapezoid(per_z.exp(), z).item() == pytest.approx(1, abs=1e-4)


def test_units_do_not_change_what_models_read(tmp_path: Path) -> None:
    path = saved(tmp_path, csv_text())
    one, two = (TableFile(path=path, units=u) for u in ("standardised", "original"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.load()["test"].x, two.load()["test"].x)
    assert one.spec.log_volume == 0
    assert two.spec.log_volume == pytest.approx(np.log(table_of(two).scale).sum())
    assert DataSpec.from_dict(two.spec.to_dict()) == two.spec


@pytest.mark.parametrize("folds", [2, 7, 10])
def test_folds_are_disjoint_and_complete(folds: int, tmp_path: Path) -> None:
    path = saved(tmp_path, csv_text(np.arange(61.0)[:, None] * 3, names=("a",)))
    tests = []
    for fold in range(folds):
        data = TableFile(path=path, folds=folds, fold=fold, types="real")
        x = {name: np.round(rows[:, 0] / 3).astype(int) for name, rows in original(data).items()}
        assert sorted(np.concatenate(list(x.values()))) == list(range(61))
        tests.append(x["test"])
        assert f"fold {fold} of {folds}" in data.regime
    assert sorted(np.concatenate(tests)) == list(range(61))
    assert max(map(len, tests)) - min(map(len, tests)) <= 1
    other = TableFile(path=path, folds=folds, split_seed=1, types="real")
    assert (original(other)["test"][:, 0] / 3).round().astype(int).tolist() != tests[0].tolist()


ROWS = csv_text()
LINE3 = ROWS.splitlines()[2]
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "text": (ROWS.replace(LINE3, "5,low,7"), {}, "line 3, column pH: 'low' is no number; mend or remove"),
    "missing": (ROWS.replace(LINE3, "5,,7"), {}, "line 3, column pH: a value is missing"),
    "question mark": (ROWS.replace(LINE3, "?,4,7"), {}, "line 3, column fixed acidity: '?' is no number"),
    "nan": (ROWS.replace(LINE3, "5,4,nan"), {}, "line 3, column alcohol: 'nan' is no number"),
    "infinite": (ROWS.replace(LINE3, "5,4,inf"), {}, "line 3, column alcohol: 'inf' is no number"),
    "a column of text": ("a,b\n1,x\n2,y\n", {}, "column b is text, not numbers; leave it out: data.drop=[b]"),
    "decimal commas": ('a,b\n"1,5","2,5"\n', {}, "column a: '1,5' is no number; write decimals with a point"),
    "underscore": (ROWS.replace(LINE3, "5,1_2,7"), {}, "line 3, column pH: '1_2' is no number"),
    "beyond single precision": (ROWS.replace(LINE3, "5,4,1e39"), {}, "line 3, column alcohol: 1e39 is beyond"),
    "integer beyond": (ROWS.replace(LINE3, f"5,{10**40},7"), {}, "column pH: 1" + "0" * 40 + " is beyond"),
    "names or values": ("3,4\n" + "5,6\n" * 30, {}, "first row, 3, 4, may be names or values; give data.header=true"),
    "ragged": (ROWS.replace(LINE3, "5,4"), {}, "line 3 has 2 values where line 1 has 3"),
    "short, its last column left out": ("a,b\n1,2\n3\n", {"drop": ["b"]}, "line 3 has 1 values where line 1 has 2"),
    "long, after blank lines": ("\n\na,b\n1,2\n1,2,3\n", {}, "line 5 has 3 values where line 3 has 2"),
    "quote never closed": ('a,b\n"1,2\n3,4\n', {}, "cannot be read as CSV"),
    "empty": ("\n \n", {}, "is empty"),
    "header alone": ("a,b\n", {}, "has a header but no rows"),
    "two names": ("a,a\n1,2\n", {}, "two columns are named 'a'"),
    "unknown column": (ROWS, {"drop": ["alcohl"]}, "no column 'alcohl'; did you mean 'alcohol'?"),
    "number beyond": (ROWS, {"drop": ["3"]}, "no column '3'"),
    "all dropped": (ROWS, {"drop": ["0", "1", "2"]}, "no column of mine.csv is left"),
    "key": (ROWS, {"key": "a"}, "only .hdf5 files have keys"),
    "constant": ("a\n" + "1\n" * 30, {}, "every column is constant"),
    "too few": ("a\n1\n2\n", {}, "too few to hold out valid and test"),
    "too few for folds": ("a\n1\n2\n", {"folds": 5}, "2 rows are too few for data.folds=5"),
    "no such fold": (ROWS, {"folds": 5, "fold": 5}, "data.fold=5: there are data.folds=5, numbered 0..4"),
    "fold without folds": (ROWS, {"fold": 2}, "data.fold=2 needs 2 data.folds or more"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    text, options, message = BAD[case]
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, text), types="real", **options).load()
    assert message in one_line(info)


BAD_ARRAYS = {
    "nan": ({"data": np.where(X[4, 1] == X, np.nan, X)}, "'data', row 4, column x1: 'nan' is no number"),
    "beyond": ({"train": X, "test": np.where(X[4, 1] == X, 1e39, X)}, "'test', row 4, column x1: 1e+39 is beyond"),
    "text": ({"data": np.array([["a"]])}, "save numbers (N, D)"),
    "images": ({"data": np.zeros((9, 2, 2))}, "float64 of shape (9, 2, 2)"),
    "neither": ({"rows": X}, "no array 'data', nor 'train'"),
    "other width": ({"train": X, "test": X[:, :2]}, "'test' has 2 columns where others have 3"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_cannot_be_used(case: str, tmp_path: Path) -> None:
    arrays, message = BAD_ARRAYS[case]
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError) as info:
        TableFile(path=str(tmp_path / "mine.npz"), types="real").load()
    assert message in one_line(info)


def test_missing_files(tmp_path: Path) -> None:
    saved(tmp_path, ROWS, "wine.csv")
    with pytest.raises(UserError, match=r"give data\.path=my\.csv"):
        TableFile(drop=["a"])
    for path, message in (
        (str(tmp_path / "wien.csv"), "did you mean 'wine.csv'?"),
        (str(tmp_path / "no" / "wine.csv"), "there is no folder"),
    ):
        with pytest.raises(UserError) as info:
            TableFile(path=path)
        assert message in one_line(info)
    with pytest.raises(UserError) as info:
        TableFile(path=saved(tmp_path, bytes([0, 255, 3]), "binary.csv")).load()
    assert "not a text file" in one_line(info)
    np.savez(tmp_path / "a.npz", train=X, test=X)
    with pytest.raises(UserError) as info:
        TableFile(path=str(tmp_path / "a.npz"), folds=3).load()
    assert "splits of its own" in one_line(info)


def test_import_needs_no_large_library() -> None:
    heavy = "{'torch', 'h5py', 'pandas', 'sklearn'}"
    code = f"import sys, ar_lightning.data.datasets.uci; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
