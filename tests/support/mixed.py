"""A small mixed table of which every test of what follows a training can have a run, with cells that are missing."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from tests.support.commands import QUICK, run_here

__all__ = ["COLUMNS", "Patients", "train"]

COLUMNS = (
    Column("ward", "category", ("north", "south", "east")),
    Column("age", "integer", offset=40.0, scale=10.0, lowest=0.0),
    Column("dose", "real", offset=1.0, scale=2.0, spikes=(0.0,)),
    Column("smoker", "category", ("no", "yes")),
    Column("seen", "date", offset=19_000.0, scale=100.0, days=True),
)
NO_DOSE = np.float32((0.0 - 1.0) / 2.0)


class Patients(Dataset):
    """Rows of five columns, two of them with gaps; they are written with the first two swapped.

    Args:
        gaps: what a missing cell is.
        given: columns that are given; only the first ones can be.
        classes: whether rows have labels.
        missing: what stands for a missing cell in files.
    """

    def __init__(
        self,
        *,
        gaps: Literal["none", "level", "unread"] = "unread",
        given: list[str] | None = None,
        classes: bool = False,
        missing: list[str] | None = None,
    ) -> None:
        self.gaps, self.given, self.classes = gaps, len(given or ()), classes

    @property
    def spec(self) -> DataSpec:
        columns = tuple(replace(c, gaps=self.gaps) if c.name in ("age", "smoker") else c for c in COLUMNS)
        labels = {"classes": 2, "labels": ("ill", "well")} if self.classes else {}
        header = ("age", "ward", *(("label",) if self.classes else ()), "dose", "smoker", "seen")
        medium = MixedTable(columns, self.given, header)
        return DataSpec((1, 5), None, medium=medium, **labels)  # type: ignore[arg-type]

    @property
    def regime(self) -> str:
        return "made for tests, 60/20/20"

    def load(self) -> Splits:
        g = np.random.RandomState(0)
        n = 100
        ward = g.randint(0, 3, n)
        age = np.maximum(g.randint(-20, 20, n) + 10 * ward, -40).astype(float)
        dose = np.where(g.rand(n) < 0.4, NO_DOSE, g.randn(n))
        smoker = (g.rand(n) < 0.3 + 0.2 * ward).astype(float)
        x = np.stack([ward, age, dose, smoker, g.randint(-150, 150, n)], 1)
        if self.gaps != "none":
            x[::7, 1] = x[3::9, 3] = np.nan
        x = x.astype(np.float32)[:, None]
        labels = (ward > 0).astype(np.int64) if self.classes else None
        parts = np.split(np.arange(n), [60, 80])
        return {name: Split(x[i], None if labels is None else labels[i]) for name, i in zip(SPLITS, parts, strict=True)}


def train(folder: Path, *settings: str) -> Path:
    """Train two steps on the dataset that a test has registered as `patients`; return the run."""
    settings = ("data=patients", *QUICK, "data.batch_size=20", *settings, f"run_dir={folder}")
    assert run_here("--config", "conf/deep_nade.yaml", "model.hidden=8", *settings) == 0
    return folder
