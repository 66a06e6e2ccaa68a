"""A density of labels that are no numbers from 0: every command takes and shows them as the data calls them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.inference.sample import sample
from tests.support.commands import run_here

SMALL = [
    "model=nade", "model.hidden=8", "model.conditional=true", "data.batch_size=20", "samples.n=2",
    "samples.every=0", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=1", "tracking.mode=disabled",
]  # fmt: skip
YEARS = np.array([1960, 1950, 1953] * 10)
X = np.random.RandomState(0).randint(0, 2, (30, 2, 3))


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("years")
    np.savez(folder / "mine.npz", train=X, train_labels=YEARS, test=X[:6], test_labels=YEARS[:6])
    np.savez(folder / "other.npz", test=X[:2], test_labels=[1953, 1960])
    np.savez(folder / "new.npz", test=X[:2], test_labels=[1953, 1961])
    assert run_here(*SMALL, "data=npz", f"data.path={folder / 'mine.npz'}", f"run_dir={folder / 'run'}") == 0
    return folder


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return dict(found)


def labels_of(scores: Path) -> list[str]:
    with scores.open() as file:
        return [row["label"] for row in csv.DictReader(file)]


def test_samples_are_of_the_label_and_hold_it(years: Path) -> None:
    for label in ("1953", 1953):
        files = sample(str(years / "run"), 2, label, out=str(years / "of"))
        assert arrays(files["arrays"])["train_labels"].tolist() == [1953, 1953]
    files = sample(str(years / "run"), 4, out=str(years / "all"))
    assert arrays(files["arrays"])["train_labels"].tolist() == [1950, 1953, 1960, 1950]
    assert run_here("score", str(years / "run"), "--data", str(files["arrays"]), "--out", str(years / "s.csv")) == 0
    assert labels_of(years / "s.csv") == ["1950", "1953", "1960", "1950"]


def test_results_by_class_show_labels(years: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("test", str(years / "run"), "--out", str(years / "test.json")) == 0
    assert [c["label"] for c in json.loads((years / "test.json").read_text())["classes"]] == [1950, 1953, 1960]
    assert "1953" in capsys.readouterr().out
    assert run_here("features", str(years / "run"), "--out", str(years / "features")) == 0
    assert arrays(years / "features" / "test.npz")["labels"].tolist() == YEARS[:6].tolist()


def test_other_files_are_matched_by_label(years: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = str(years / "run"), str(years / "other.csv")
    assert run_here("score", run, "--data", str(years / "other.npz"), "--out", out) == 0
    assert labels_of(Path(out)) == ["1953", "1960"]
    assert run_here("compress", run, str(years / "other.npz"), "--out", str(years / "other.arl")) == 0
    assert run_here("decompress", run, str(years / "other.arl"), "--out", str(years / "again.npz")) == 0
    assert arrays(years / "again.npz")["test_labels"].tolist() == [1953, 1960]
    assert run_here("complete", run, "--input", str(years / "other.npz"), "--out", str(years / "c")) == 0
    capsys.readouterr()
    assert run_here("score", run, "--data", str(years / "new.npz"), "--out", str(years / "none.csv")) == 2
    assert "example 1 has the label 1961; the classes are 1950, 1953, 1960" in capsys.readouterr().err
    assert not (years / "none.csv").exists()


def test_a_label_that_is_not_there(years: Path) -> None:
    with pytest.raises(UserError, match=r"--cond 2: its classes are 1950, 1953, 1960"):
        sample(str(years / "run"), 2, 2, out=str(years / "none"))


def test_folders_are_called_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AR_LIGHTNING_DATA", str(tmp_path / "kept"))
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(np.full((4, 4), i * 10, np.uint8)).save(tmp_path / "pets" / name / f"{i}.png")
    pets = ["data=image_folder", f"data.path={tmp_path / 'pets'}", "data.size=3", "data.channels=1", "data.levels=2"]
    run = str(tmp_path / "run")
    assert run_here(*SMALL, *pets, f"run_dir={run}") == 0
    files = sample(run, 3, "dog", out=str(tmp_path / "dogs"))
    assert arrays(files["arrays"])["train_labels"].tolist() == ["dog"] * 3
    assert run_here("score", run, "--data", str(files["arrays"]), "--out", str(tmp_path / "s.csv")) == 0
    assert labels_of(tmp_path / "s.csv") == ["dog"] * 3
    assert run_here("compress", run, str(files["arrays"]), "--out", str(tmp_path / "d.arl")) == 0
    assert run_here("decompress", run, str(tmp_path / "d.arl"), "--out", str(tmp_path / "d.npz")) == 0
    assert arrays(tmp_path / "d.npz")["train_labels"].tolist() == ["dog"] * 3
    with pytest.raises(UserError, match=r"its classes are cat, dog; did you mean 'dog'"):
        sample(run, 3, "dgo", out=str(tmp_path / "none"))
