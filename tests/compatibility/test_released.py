"""What version 0.1.0 wrote still loads: runs, checkpoints, compressed files and sweeps, with the same numbers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.commands import ROOT, result, run_here

RELEASED = Path(__file__).parent / "released_0_1"
RUNS = ("nade", "gated_pixelcnn", "rnade")
CODES = ("nade", "gated_pixelcnn")  # models of levels, which can compress
ROUNDING = 1e-6  # relative, of float32 on another processor


@pytest.fixture
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a released directory, as its own machine had it."""
    return Path(shutil.copytree(RELEASED / request.param, tmp_path / request.param))


@pytest.mark.parametrize("released", RUNS, indirect=True)
def test_a_released_run_has_the_same_test_likelihood(released: Path) -> None:
    assert run_here("test", str(released)) == 0
    found = json.loads((released / "test.json").read_text())
    assert found["nll"] == pytest.approx(result(released)["test/nll"], rel=ROUNDING)
    assert found["bpd"] == pytest.approx(result(released)["test/bpd"], rel=ROUNDING)


@pytest.mark.parametrize("released", CODES, indirect=True)
def test_a_released_run_draws_the_same_samples(released: Path, tmp_path: Path) -> None:
    assert run_here("sample", str(released), "--n", "9", "--seed", "5", "--out", str(tmp_path / "again")) == 0
    again, before = (np.load(path)["train"] for path in (tmp_path / "again.npz", released / "nine.npz"))
    assert np.array_equal(again, before)


@pytest.mark.parametrize("released", ["rnade"], indirect=True)
def test_a_released_run_draws_the_same_rows(released: Path, tmp_path: Path) -> None:
    assert run_here("sample", str(released), "--n", "9", "--seed", "5", "--out", str(tmp_path / "again")) == 0
    with (tmp_path / "again.csv").open() as again, (released / "nine.csv").open() as before:
        (header, *rows), (old_header, *old_rows) = csv.reader(again), csv.reader(before)
    assert header == old_header
    np.testing.assert_allclose(np.array(rows, float), np.array(old_rows, float), rtol=1e-4)


@pytest.mark.parametrize("released", RUNS, indirect=True)
def test_a_released_run_is_resumed(released: Path) -> None:
    before = json.loads((released / "resumed.json").read_text())
    assert run_here("--resume", str(released), "trainer.max_epochs=3") == 0
    again = result(released)
    assert (again["epochs"], again["steps"]) == (before["epochs"], before["steps"])
    for key in ("test/nll", "val/nll"):
        assert again[key] == pytest.approx(before[key], rel=100 * ROUNDING)  # of several steps


def test_released_runs_are_compared(tmp_path: Path) -> None:
    runs = [str(RELEASED / name) for name in CODES]
    assert run_here("compare", *runs, "--out", str(tmp_path / "comparison")) == 0
    assert any((tmp_path / "comparison").iterdir())


@pytest.mark.parametrize("released", ["sweep"], indirect=True)
def test_a_released_sweep_is_reported(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, best = (released / "trials.csv").read_text(), yaml.safe_load((released / "best.yaml").read_text())
    (released / "trials.csv").unlink()
    assert run_here("sweep-report", str(released)) == 0
    assert "3 complete" in capsys.readouterr().out
    assert (released / "trials.csv").read_text() == table
    again = yaml.safe_load((released / "best.yaml").read_text())
    for section in ("model", "trainer"):
        assert again.pop(section).items() >= best.pop(section).items(), "with keys that are newer"
    assert again.items() >= best.items()


@pytest.mark.slow
@pytest.mark.parametrize("released", ["sweep"], indirect=True)
def test_a_released_sweep_goes_on(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = (RELEASED / "sweep.yaml").relative_to(ROOT)
    assert run_here("sweep", "--config", str(file), f"sweep_dir={released}", "workers=1", "trials=4") == 0
    assert "4 complete" in capsys.readouterr().out
    with (RELEASED / "sweep" / "trials.csv").open() as before, (released / "trials.csv").open() as again:
        old, new = list(csv.DictReader(before)), list(csv.DictReader(again))
    assert [row["val/bpd"] for row in new[:3]] == [row["val/bpd"] for row in old]
    assert new[3]["state"] == "complete"
