"""The digits that scikit-learn bundles."""

from typing import Literal

import numpy as np

from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Split, Splits, shuffled
from ar_lightning.data.images import Images, treatment
from ar_lightning.data.scikit_learn import bundled_files

__all__ = ["Digits"]


class Digits(Images):
    """8x8 handwritten digits bundled with scikit-learn: 1797 images, labels, no download.

    Args:
        levels: 17 grey levels as they come, or 2: ink above half.
        size: 8 pixels a side, or 4: means of 2x2 blocks, rounded to the nearest level.
        flip: mirror training images left to right at random, each with probability 1/2.
    """

    def __init__(self, *, levels: Literal[17, 2] = 17, size: Literal[8, 4] = 8, flip: bool = False) -> None:
        self.levels = levels
        self.size = size
        self.flip = flip

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1, self.size, self.size), self.levels, classes=10)

    @property
    def regime(self) -> str:
        how = treatment(f"{self.levels} levels", self.flip)
        return f"scikit-learn digits, {self.size}x{self.size}, {how}, seeded split 1437/180/180"

    def load(self) -> Splits:
        rows = np.loadtxt(bundled_files("data/digits.csv.gz")[0], dtype=np.int64, delimiter=",")  # 64 pixels, the label
        block = 8 // self.size
        sums = rows[:, :-1].reshape(-1, self.size, block, self.size, block).sum(axis=(2, 4))
        n = block**2
        x = (2 * sums + n) // (2 * n) if self.levels == 17 else sums > 8 * n  # the nearest level; ink above half of 16
        parts = np.split(shuffled(len(x), seed=0), [1437, 1617])
        x, labels = x[:, None].astype(np.uint8), rows[:, -1]
        return {name: Split(x[index], labels[index]) for name, index in zip(SPLITS, parts, strict=True)}
