"""Data whose classes are numbered as a density numbers them, by what they are called."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Split, Splits
from ar_lightning.data.labels import numbers_of

if TYPE_CHECKING:
    import torch

__all__ = ["relabelled"]


def relabelled(dataset: Dataset, own: DataSpec) -> Dataset:
    """Return a dataset whose classes are numbered as a density of the spec `own` numbers them, by their values."""
    theirs = dataset.spec
    named = any(isinstance(label, str) for label in theirs.labels)  # of old checkpoints, which have numbers alone
    if not own.classes or not theirs.classes or own.labels == theirs.labels or (not own.labels and named):
        return dataset
    return _Relabelled(dataset, own)


class _Relabelled(Dataset):
    """Another dataset, whose labels are those of a density."""

    def __init__(self, dataset: Dataset, own: DataSpec) -> None:
        self.dataset, self.own = dataset, own
        self.contiguous = dataset.contiguous

    @property
    def spec(self) -> DataSpec:
        return replace(self.dataset.spec, classes=self.own.classes, labels=self.own.labels)

    @property
    def regime(self) -> str:
        return self.dataset.regime

    def load(self) -> Splits:
        return {name: self._known(name, split) for name, split in self.dataset.load().items()}

    def describe(self) -> list[list[str]]:
        return self.dataset.describe()

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        return self.dataset.values(x)

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray | None:
        return self.dataset.true_log_prob(x, features)

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        return self.dataset.augment(x)

    def _known(self, name: str, split: Split) -> Split:
        if split.labels is None:
            return split
        values = np.array([self.dataset.spec.label_of(y) for y in range(self.dataset.spec.classes)])
        return replace(split, labels=numbers_of(values[split.labels], self.own, f"data: {name}"))
