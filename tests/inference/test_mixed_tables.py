"""Mixed tables after a training: shares of the columns, odd cells, holes that are filled, and rows like these."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.config.registry import DATA
from ar_lightning.inference.open import open_run
from ar_lightning.media import mixed
from ar_lightning.media.frames import to_frame
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


def written(run: Path, file: Path, split: str = "test", **more: list[object]) -> pd.DataFrame:
    """Write rows of the run's own data as a user has them, and return them as text."""
    opened = open_run(run)
    x = opened.data().split(split)[0]
    frame = to_frame(x, opened.density.spec.medium).assign(**more)  # type: ignore[arg-type]
    frame.to_csv(file, index=False)
    return pd.read_csv(file, dtype=str, keep_default_na=False)


@pytest.mark.parametrize("name", ["orderless", "ordered"])
def test_score_by_column(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Rows are scored as the run's own data are, whatever the order of the columns; cells are of the density."""
    run = request.getfixturevalue(name)
    rows = written(run, tmp_path / "rows.csv", more=[1] * 20)
    rows[rows.columns[::-1]].to_csv(tmp_path / "reversed.csv", index=False)
    out = tmp_path / "s.csv"
    assert (
        run_here("score", str(run), "--data", str(tmp_path / "reversed.csv"), "--by", "column", "--out", str(out)) == 0
    )
    found = pd.read_csv(out)
    given = "others" if name == "orderless" else "before"
    scored = ["ward", "age", "dose", "smoker", "seen"][int(name == "ordered") :]
    assert list(found.columns) == ["index", "nats", *(f"-log p({column} | {given})" for column in scored)]
    assert (tmp_path / "s-oddest.png").is_file()
    opened = open_run(run)
    density, x = opened.density, opened.data().split("test")[0]
    np.testing.assert_allclose(found["nats"], density.log_prob(x).detach(), rtol=1e-4, atol=1e-4)
    cells = found[found.columns[2:]].to_numpy()
    empty = rows[scored].to_numpy() == ""
    if name == "ordered":  # missing is a value
        assert not np.isnan(cells).any()
        np.testing.assert_allclose(cells.sum(1), -found["nats"], rtol=1e-4, atol=1e-4)
        return
    assert (np.isnan(cells) == empty).all() and empty.any()
    for d in range(5):
        mask = torch.ones(1, 5, dtype=torch.bool)
        mask[0, d] = False
        with torch.no_grad():
            exact = -density.conditional_log_prob(x, mask)  # type: ignore[operator]
        np.testing.assert_allclose(np.nan_to_num(cells[:, d]), exact, rtol=1e-3, atol=1e-4)


def test_by_column_is_for_mixed_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert run_here("--config", "conf/independent.yaml", *QUICK, f"run_dir={run}") == 0
    assert run_here("score", str(run), "--by", "column", "--out", str(tmp_path / "s.csv")) == 2
    assert "--by column: is for tables of mixed columns" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()
