"""Mixed tables after a training: shares of the columns, odd cells, holes that are filled, and rows like these."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.config.registry import DATA
from ar_lightning.inference.open import open_run
from ar_lightning.media import mixed
from tests.support.commands import QUICK, result, run_here


@pytest.fixture(scope="module", autouse=True)
def patients() -> Iterator[None]:
    """A dataset by its name, whose samples have no pictures: they take longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATA, "patients", "tests.support.mixed:Patients")
        patch.setattr(mixed, "PICTURES", {})
        yield


def train(folder: Path, *settings: str) -> Path:
    settings = ("data=patients", *QUICK, "data.batch_size=20", *settings, f"run_dir={folder}")
    assert run_here("--config", "conf/deep_nade.yaml", "model.hidden=8", *settings) == 0
    return folder


@pytest.fixture(scope="module")
def orderless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps that reads no missing cell."""
    return train(tmp_path_factory.mktemp("orderless") / "run")


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps in one order, to which a missing cell is a value, and `ward` is given."""
    run = tmp_path_factory.mktemp("ordered") / "run"
    return train(run, "model=made", "model.hidden=8", "data.gaps=level", "data.given=[ward]")


def test_columns_share_the_score(orderless: Path, ordered: Path, tmp_path: Path) -> None:
    """They add up to it, at the end of the training and in `test`; no bits/dim are said of either."""
    for run, names in ((orderless, "ward age dose smoker seen"), (ordered, "age dose smoker seen")):
        trained = result(run)
        assert not [key for key in trained if "bpd" in key]
        assert [share["name"] for share in trained["columns"]] == names.split()
        whole = sum(share["nll"] for share in trained["columns"])
        if trained.get("members", 1) == 1:
            assert whole == pytest.approx(trained["test/nll"], rel=1e-5)
        assert [share["bits"] is not None for share in trained["columns"]] == [
            share["kind"] == "category" for share in trained["columns"]
        ]
        assert run_here("test", str(run), "--out", str(tmp_path / "test.json"), "trainer.accelerator=cpu") == 0
        tested = json.loads((tmp_path / "test.json").read_text())
        assert tested["bpd"] is None and tested["nll"] == pytest.approx(trained["test/nll"], rel=1e-5)
        for share, same in zip(trained["columns"], tested["columns"], strict=True):
            assert share["nll"] == pytest.approx(same["nll"], rel=1e-4, abs=1e-6) and share["cells"] == same["cells"]
        assert "test/nll/age" in (run / "metrics.csv").read_text().splitlines()[0]


def test_cells_that_are_missing_are_not_counted(orderless: Path, ordered: Path) -> None:
    """Where missing is a value, all are counted."""
    opened = open_run(orderless)
    x = opened.data().split("test")[0]
    cells = {share["name"]: share["cells"] for share in result(orderless)["columns"]}
    assert cells["age"] == int((~x[:, 0, 1].isnan()).sum()) < cells["dose"] == len(x) == 20
    assert {share["cells"] for share in result(ordered)["columns"]} == {20}
    density = opened.density
    with torch.no_grad():
        terms = -density.terms(x)[:, 0].double()
    share = next(share for share in result(orderless)["columns"] if share["name"] == "age")
    assert share["nll"] == pytest.approx(float(terms[:, 1].mean()), rel=1e-4)


def test_samples_while_training_have_given_values_of_the_data(ordered: Path) -> None:
    import pandas as pd

    drawn = pd.read_csv(ordered / "samples" / "final.csv", keep_default_na=False)
    assert list(drawn.columns) == ["ward", "age", "dose", "smoker", "seen"] and len(drawn) == 4
    opened = open_run(ordered)
    x = opened.data().split("test", 4)[0]
    levels = np.array(opened.density.spec.medium.columns[0].levels)  # type: ignore[union-attr]
    assert drawn["ward"].tolist() == levels[x[:, 0, 0].long()].tolist()


def test_compare_sets_them_side_by_side_in_nats(orderless: Path, ordered: Path, tmp_path: Path) -> None:
    assert run_here("compare", str(orderless), str(ordered), "--out", str(tmp_path / "c")) == 0
    table = (tmp_path / "c" / "table.md").read_text()
    assert "nats" in table and "bits/dim" not in table
    assert "p(x | the column ward)" in table.replace("\\|", "|")  # which no other run is comparable to
