"""Pair plots and files of samples: in the units and under the names of the columns."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.table import COLUMNS, Tables, outside

TABLE = Table(("mass", "height", "age"), (50.0, 1.7, 30.0), (10.0, 0.1, 8.0))
SPEC = DataSpec((1, 3), None, medium=TABLE)


def rows(n: int, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 1, d, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def savefig(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def test_rows_are_shown_in_original_units() -> None:
    z = torch.tensor([[[0.0, 1.0, -2.0]]])
    np.testing.assert_allclose(Tables(SPEC).original_units(z), [[50, 1.8, 14]])


def test_axes_have_names_and_units(drawn: list[Figure], tmp_path: Path) -> None:
    data, samples = rows(200), rows(300, seed=1)
    Tables(SPEC).write_samples(samples, tmp_path / "new" / "pairs", data)
    axes = drawn[0].axes
    assert len(axes) == 6  # the lower triangle and the diagonal of 3 x 3
    bottom = [a for a in axes if a.get_xlabel()]
    assert [a.get_xlabel() for a in bottom] == ["mass", "height", "age"]
    assert [a.get_ylabel() for a in axes if a.get_ylabel()] == ["height", "age"]
    x = Tables(SPEC).original_units(data)
    for d, a in enumerate(bottom):
        low, high = a.get_xlim()
        assert low < x[:, d].min() and high > x[:, d].max() and high - low < 3 * np.ptp(x[:, d])
    scatter = next(a for a in axes if a.get_ylabel() == "age")  # of mass and age
    points = [np.asarray(c.get_offsets()) for c in scatter.collections]
    np.testing.assert_allclose(points[0], x[:, [0, 2]])
    np.testing.assert_allclose(points[1], Tables(SPEC).original_units(samples)[:, [0, 2]])
    assert [t.get_text().split()[0] for t in drawn[0].legends[0].get_texts()] == ["data", "samples"]


@pytest.mark.parametrize(("columns", "panels"), [(1, 1), (2, 3), (30, COLUMNS * (COLUMNS + 1) // 2)])
def test_any_number_of_columns(columns: int, panels: int, drawn: list[Figure], tmp_path: Path) -> None:
    table = Table(tuple(f"x{d}" for d in range(columns)), (0.0,) * columns, (1.0,) * columns)
    spec = DataSpec((1, columns), None, medium=table)
    Tables(spec).write_samples(rows(20, columns), tmp_path / "pairs", rows(40, columns))
    assert len(drawn[0].axes) == panels
    picture = Image.open(tmp_path / "pairs.png")
    assert min(picture.size) > 300 and len(picture.convert("RGB").getcolors(100_000) or range(9)) > 3
    assert not list(tmp_path.rglob("*.partial"))


def test_samples_out_of_view_are_counted(drawn: list[Figure], tmp_path: Path) -> None:
    samples = rows(100)
    samples[:7] = 1e6
    Tables(SPEC).write_samples(samples, tmp_path / "pairs", rows(100))
    assert "samples (7.0% not in view)" in [t.get_text() for t in drawn[0].legends[0].get_texts()]
    assert outside(np.array([[0.0, 5.0], [9.0, 0.0]]), [(-1, 1)]) == 0.5  # columns that are not drawn do not count


def test_samples_as_csv(tmp_path: Path) -> None:
    x = rows(5)
    assert Tables(SPEC).write_samples(x, tmp_path / "new" / "samples") == {"samples": tmp_path / "new" / "samples.csv"}
    with (tmp_path / "new" / "samples.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == TABLE.columns
    np.testing.assert_allclose(np.array(lines, float), Tables(SPEC).original_units(x), rtol=1e-6)
    assert not list(tmp_path.rglob("*.partial"))
