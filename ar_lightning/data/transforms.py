"""Noise on discrete data: dequantisation, and random replacement of levels.

Dequantised data are real values: uniform noise fills the interval that each level stands for.

    z = 2 (x + u) / K - 1,    u ~ U[0, 1),    E_u log p(x + u) <= log P(x)

by Jensen's inequality, where P(x) is the mass that the density puts on the cube of x: the likelihood of dequantised
data is a lower bound on that of the levels.

Theis, van den Oord & Bethge, "A note on the evaluation of generative models", ICLR 2016, section 3.1.
Ren et al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019, section 3, for `mutated`.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.levels import scaled
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Splits

__all__ = ["Dequantised", "mutated"]


class Dequantised(Dataset):
    """Another dataset, dequantised: fresh noise in every training batch, one fixed draw for validation and test."""

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed
        self.contiguous = dataset.contiguous

    @property
    def spec(self) -> DataSpec:
        return self.dataset.spec.dequantised()

    @property
    def regime(self) -> str:
        return f"{self.dataset.regime}; uniformly dequantised, a bound on the likelihood of the levels"

    def load(self) -> Splits:
        """Return the dataset's splits; valid and test hold real values, the same each time."""
        splits = self.dataset.load()
        noise = np.random.RandomState(self.seed % 2**32)
        return {
            name: split if name == "train" else replace(split, x=self._noisy(split.x, noise))
            for name, split in splits.items()
        }

    def _noisy(self, x: np.ndarray, noise: np.random.RandomState) -> np.ndarray:
        levels = self.dataset.values(torch.from_numpy(np.array(x))).numpy()
        noisy: np.ndarray = scaled(levels + noise.random_sample(levels.shape), self._k).astype(np.float32)
        return noisy

    def values(self, x: Tensor) -> Tensor:
        """Put training values at the middle of their intervals; valid and test values have their noise already."""
        return x if x.is_floating_point() else scaled(self.dataset.values(x).float() + 0.5, self._k)

    def augment(self, x: Tensor) -> Tensor:
        """Augment as the dataset does, and spread the values over their intervals."""
        return self.dataset.augment(x) + (2 * torch.rand_like(x) - 1) * (1 / self._k)

    @property
    def _k(self) -> int:
        """Number of levels."""
        return self.spec.quantised or 1


def mutated(x: Tensor, fraction: float, levels: int) -> Tensor:
    """Replace each level of `x` `(B, C, *sites)` by one drawn uniformly, with probability `fraction`.

    A density of such data learns the background of pictures rather than what is in front. The draws are from torch's
    global generator.
    """
    return torch.where(torch.rand(x.shape) < fraction, torch.randint(levels, x.shape).to(x.dtype), x)
