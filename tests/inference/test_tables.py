"""A run on a table: files with other columns and in another order, digits that come back, and data that was moved."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import QUICK, run_here

N = 60
RANDOM = np.random.default_rng(0)
COLUMNS = {
    "time": 1_700_000_000 + 600 * RANDOM.random(N),  # of Unix: digits enough, or all are the same
    "species": np.array(["setosa", "virginica"])[RANDOM.integers(0, 2, N)],
    "day": 2_460_000.5 + 0.01 * RANDOM.normal(size=N),
}


def write(path: Path, *names: str) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(names)
        rows.writerows(zip(*(COLUMNS[name].tolist() for name in names), strict=True))
    return path


def scores(path: Path) -> np.ndarray:
    with path.open() as file:
        return np.array([float(row["nats"]) for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of two steps on a table without a column of text."""
    folder = tmp_path_factory.mktemp("measured")
    data = write(folder / "mine.csv", "time", "species", "day")
    given = ["model=rnade", "model.hidden=8", "data=table", f"data.path={data}", "data.drop=[species]"]
    assert run_here(*given, *QUICK, "data.batch_size=10", f"run_dir={folder / 'run'}") == 0
    return folder


def test_columns_are_found_by_name(measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of no use may hold text, or not be there."""
    found = []
    for names in (("time", "species", "day"), ("species", "day", "time"), ("day", "time")):
        data = write(tmp_path / f"{len(found)}.csv", *names)
        assert run_here("score", str(measured / "run"), "--data", str(data), "--out", str(tmp_path / "s.csv")) == 0
        found.append(scores(tmp_path / "s.csv"))
        said = capsys.readouterr().err
        assert ("without columns that the density does not have: species" in said) == ("species" in names)
    assert len(found[0]) == N and all((other == found[0]).all() for other in found)
    options = ["--input", str(tmp_path / "1.csv"), "--n", "2", "--out", str(tmp_path / "c")]
    assert run_here("complete", str(measured / "run"), *options) == 0


def test_samples_score_as_they_were_drawn(measured: Path, tmp_path: Path) -> None:
    assert run_here("sample", str(measured / "run"), "--n", "50", "--out", str(tmp_path / "drawn")) == 0
    with (tmp_path / "drawn.csv").open() as file:
        times = [row["time"] for row in csv.DictReader(file)]
    assert len(set(times)) == 50
    options = ["--data", str(tmp_path / "drawn.csv"), "--out", str(tmp_path / "s.csv")]
    assert run_here("score", str(measured / "run"), *options) == 0
    assert scores(tmp_path / "s.csv").min() > -30


def test_data_that_was_moved(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Samples need no data; what does is told where it is, or asks for it in one line."""
    run = str(shutil.copytree(measured / "run", tmp_path / "run"))
    data = f"data.path={shutil.move(write(tmp_path / 'old.csv', 'time', 'species', 'day'), tmp_path / 'new.csv')}"
    (measured / "mine.csv").rename(tmp_path / "away.csv")
    monkeypatch.chdir(tmp_path)
    try:
        assert run_here("sample", run, "--n", "3", "--out", str(tmp_path / "one")) == 0
        assert "samples are not shown beside the data: data.path: no " in capsys.readouterr().err
        assert (tmp_path / "one.csv").is_file() and not (tmp_path / "one.png").exists()
        assert run_here("sample", run, "--n", "3", "--out", str(tmp_path / "two"), data) == 0
        assert (tmp_path / "two.png").is_file()
        assert (tmp_path / "two.csv").read_text() == (tmp_path / "one.csv").read_text()
        out = str(tmp_path / "s.csv")
        for command in (["test"], ["score", "--out", out], ["complete", "--input", "data:test[0]", "--out", out]):
            command.insert(1, run)
            assert run_here(*command) == 2
            assert "which this run was trained on; give data.path=..." in capsys.readouterr().err
            assert run_here(*command, data) == 0
        assert run_here("--resume", run, "trainer.max_epochs=2") == 2
        assert "which this run was trained on; give data.path=..." in capsys.readouterr().err
        assert run_here("sample", run, "model.hidden=9") == 2
        assert "model.hidden is fixed by the training; data.* can change" in capsys.readouterr().err
    finally:
        (tmp_path / "away.csv").rename(measured / "mine.csv")
