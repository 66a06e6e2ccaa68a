"""A new file for a density of mixed columns: what stands for nothing, labels, and columns without names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.gathered import DISTINCT
from ar_lightning.inference.open import open_run
from ar_lightning.inference.rows import read_table_rows
from tests.support.commands import QUICK, run_here
from tests.support.files import one_line

COLUMNS = (Column("age", "integer", offset=40.0, scale=9.0), Column("job", "category", levels=("cook", "clerk")))
SPEC = DataSpec((1, 2), None, 2, medium=MixedTable(COLUMNS), labels=("no", "yes"))
CONFIG: dict[str, Any] = {"data": {"missing": ["-1", "unknown"], "label": "paid"}}


def saved(folder: Path, text: str) -> Path:
    path = folder / "new.csv"
    path.write_text(text)
    return path


def test_markers_and_labels_are_those_of_the_training(tmp_path: Path) -> None:
    rows = read_table_rows(saved(tmp_path, "paid,job,age\nyes,cook,41\nno,unknown,-1\n"), SPEC, CONFIG, holes=True)
    np.testing.assert_array_equal(rows.x[:, 0], np.array([[1, 0], [np.nan, np.nan]], np.float32))
    assert rows.labels is not None and rows.labels.tolist() == [1, 0]
    with pytest.raises(UserError) as info:
        read_table_rows(saved(tmp_path, "paid,job,age\nyes.,cook,41\n"), SPEC, CONFIG)
    assert "line 2, column paid: unknown class 'yes.'; did you mean 'yes'?" in one_line(info)


def test_numbers_are_texts_only_where_they_are_written_again(tmp_path: Path) -> None:
    codes = [f"{i:05d}" for i in range(DISTINCT + 1)]
    columns = (Column("zip", "category", levels=tuple(codes)), Column("size", "real"), Column("n", "integer"))
    spec = DataSpec((1, 3), None, medium=MixedTable(columns))
    path = saved(tmp_path, "zip,size,n\n" + "".join(f"{code},{i}.50,{i}\n" for i, code in enumerate(codes)))
    for as_written in (False, True):
        rows = read_table_rows(path, spec, as_written=as_written)
        np.testing.assert_array_equal(rows.x[:, 0], np.arange(len(codes))[:, None] + np.array([0, 0.5, 0]))
        assert rows.frame["zip"].tolist() == codes
        assert rows.frame["size"][3] == ("1.50" if as_written else 1.5)
        assert [*(rows.frame.dtypes == np.float64)] == [False, not as_written, not as_written]


def test_scores_without_the_label_are_of_all_classes_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.DataFrame({"job": ["cook", "clerk", "smith"] * 20, "paid": ["no", "yes", "no", "no"] * 15})
    rows = rows.assign(age=np.random.RandomState(0).randint(20, 60, 60))
    rows.to_csv(tmp_path / "train.csv", index=False)
    data = ["data=table", f"data.path={tmp_path / 'train.csv'}", "data.label=paid", "data.types={age: integer}"]
    model = ["model=deep_nade", "model.hidden=4", "model.conditional=true", "samples.every=0"]
    assert run_here(*model, *data, *QUICK, "data.batch_size=20", f"run_dir={tmp_path / 'run'}") == 0
    opened = open_run(tmp_path / "run")
    x = torch.from_numpy(read_table_rows(tmp_path / "train.csv", opened.density.spec, opened.config).x)
    log_p = opened.density.class_log_probs(x).detach()
    labels = torch.tensor([int(opened.density.spec.class_of(label) or 0) for label in rows["paid"]])
    given = log_p.gather(1, labels[:, None])[:, 0]
    free = (log_p + opened.data().class_prior().log()).logsumexp(1)
    rows.drop(columns="paid").to_csv(tmp_path / "free.csv", index=False)
    for name, expected in (("train", given), ("free", free)):
        capsys.readouterr()
        out = tmp_path / f"{name}-scores.csv"
        assert run_here("score", str(tmp_path / "run"), "--data", str(tmp_path / f"{name}.csv"), "--out", str(out)) == 0
        np.testing.assert_allclose(pd.read_csv(out)["nats"], expected, rtol=1e-4)
        assert ("over all classes of paid, which is not there" in capsys.readouterr().err) == (name == "free")


def test_columns_without_names_are_taken_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, "41,cook\n39,clerk\n")
    assert read_table_rows(path, SPEC).x[:, 0].tolist() == [[1, 0], [-1, 1]]
    assert "its columns are taken for age, job, in this order" in capsys.readouterr().err
    for spec, text in (
        (SPEC, "41,cook,1\n39,clerk,2\n"),
        (DataSpec((1, 2), None, medium=MixedTable(COLUMNS, 1)), "41,cook\n"),
    ):
        with pytest.raises(UserError) as info:  # too many, or given columns, which stand elsewhere in the file
            read_table_rows(saved(tmp_path, text), spec)
        assert "no column 'age'" in one_line(info)
