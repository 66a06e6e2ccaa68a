"""Discrete data as real values: uniform noise fills the interval that each level stands for.

    z = 2 (x + u) / K - 1,    u ~ U[0, 1),    E_u log p(x + u) <= log P(x)

by Jensen's inequality, where P(x) is the mass that the density puts on the cube of x: the likelihood of dequantised
data is a lower bound on that of the levels.

Theis, van den Oord & Bethge, "A note on the evaluation of generative models", ICLR 2016, section 3.1.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split, Splits

if TYPE_CHECKING:
    import torch

__all__ = ["Dequantised"]


class Dequantised(Dataset):
    """Another dataset, dequantised: fresh noise in every training batch, one fixed draw for validation and test.

    Args:
        dataset: the data on levels.
        seed: of the noise of the validation and test examples.
    """

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed
        self.contiguous = dataset.contiguous

    @property
    def spec(self) -> DataSpec:
        """The dataset's, with real values."""
        return self.dataset.spec.dequantised()

    @property
    def regime(self) -> str:
        """The dataset's, and that it is dequantised."""
        return f"{self.dataset.regime}; uniformly dequantised, a bound on the likelihood of the levels"

    def load(self) -> Splits:
        """Return the dataset's splits; those for evaluation hold real values, as they are the same each time."""
        splits = self.dataset.load()
        noise = np.random.RandomState(self.seed % 2**32)
        return {
            name: split if name == "train" else Split(self._noisy(split.x, noise), split.labels, split.features)
            for name, split in splits.items()
        }

    def _noisy(self, x: np.ndarray, noise: np.random.RandomState) -> np.ndarray:
        import torch

        levels = self.dataset.values(torch.from_numpy(np.array(x))).numpy()
        noisy: np.ndarray = self._scaled(levels + noise.random_sample(levels.shape)).astype(np.float32)
        return noisy

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        """Return training values at the middle of their intervals; those for evaluation have their noise."""
        return x if x.is_floating_point() else self._scaled(self.dataset.values(x).float() + 0.5)

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        """Augment as the dataset does, and spread the values over their intervals."""
        import torch

        half = 1 / (self.spec.quantised or 1)
        return self.dataset.augment(x) + (2 * torch.rand_like(x) - 1) * half

    def _scaled(self, x: Any) -> Any:
        return x * (2 / (self.spec.quantised or 1)) - 1
