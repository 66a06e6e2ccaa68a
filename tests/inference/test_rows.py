"""Rows of real values in an .npz file are a table: CSV and a plot of pairs, and arrays that are read again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.npz import NpzArrays
from ar_lightning.inference.evaluate import check_data
from ar_lightning.training.checkpoints import load
from tests.support.commands import run_here

ROWS = np.random.RandomState(0).randn(60, 4)
SMALL = [
    "data=npz", "data.batch_size=20", "samples.n=5", "samples.every=0", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "trainer.devices=1", "tracking.mode=disabled",
]  # fmt: skip
WAVENET = ["model=wavenet", "model.channels=4", "model.layers=2", "model.stacks=1", "model.skip=8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    np.savez(folder / "mine.npz", train=ROWS)
    given = [f"data.path={folder / 'mine.npz'}", f"run_dir={folder / 'run'}"]
    assert run_here(*SMALL, *WAVENET, *given) == 0
    return folder / "run"


def array(path: Path) -> np.ndarray:
    with np.load(path) as found:
        return np.asarray(found["train"])


@pytest.mark.parametrize(
    ("arrays", "is_table"),
    [
        ({"train": ROWS}, True),
        ({"train": ROWS > 0}, False),
        ({"train": ROWS.reshape(60, 2, 2)}, False),
        ({"train": ROWS, "train_features": ROWS[:, None]}, False),
    ],
)
def test_what_is_a_table(tmp_path: Path, arrays: dict[str, np.ndarray], is_table: bool) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    spec = NpzArrays(path=str(tmp_path / "mine.npz")).spec
    assert spec.is_plain and spec.medium == (Table.plain(4) if is_table else None)


def test_samples_are_rows_as_csv_pairs_and_arrays(run: Path) -> None:
    assert {file.name for file in (run / "samples").iterdir()} == {"final.csv", "final.png"}
    assert run_here("sample", str(run), "--n", "3", "--out", str(run / "three")) == 0
    rows = np.loadtxt(run / "three.csv", delimiter=",", skiprows=1)
    assert (run / "three.csv").read_text().startswith("x0,x1,x2,x3\n") and (run / "three.png").exists()
    np.testing.assert_allclose(array(run / "three.npz"), rows, rtol=1e-6)
    for ending in ("npz", "csv"):
        scores = str(run / f"{ending}-scores.csv")
        assert run_here("score", str(run), "--data", str(run / f"three.{ending}"), "--out", scores) == 0


def test_completions_are_rows_and_arrays(run: Path) -> None:
    assert run_here("complete", str(run), "--input", "data:test:0", "--n", "3", "--out", str(run / "c")) == 0
    rows = np.loadtxt(run / "c.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(array(run / "c.npz"), rows[1:], rtol=1e-6)  # the example comes first
    assert (rows[:, :2] == rows[0, :2]).all()


def test_a_row_of_another_length(run: Path) -> None:
    assert run_here("sample", str(run), "--n", "2", "--length", "7", "--out", str(run / "seven")) == 0
    assert array(run / "seven.npz").shape == (2, 7)
    assert load(run, length=7).spec.medium == Table.plain(7)


def test_a_density_from_before_takes_rows(run: Path) -> None:
    """Its checkpoint says of no medium."""
    density = load(run)
    density.spec = replace(density.spec, medium=None)
    data = ArrayDataModule(NpzArrays(path=str(run.parent / "mine.npz")))
    check_data(density, data)
    assert data.spec == DataSpec((1, 4), None, medium=Table.plain(4))
