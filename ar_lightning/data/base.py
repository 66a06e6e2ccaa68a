"""The contract of a dataset; the files that users name, and held-out splits, for several of them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ar_lightning.core.errors import UserError, nearby, refuse_pipe
from ar_lightning.core.spec import DataSpec

if TYPE_CHECKING:
    import torch

__all__ = ["SPLITS", "Dataset", "Delegated", "Split", "Splits", "hold_out", "hold_out_last", "shuffled", "users_file"]

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Args:
        x: `(N, C, *sites)`, unsigned or signed integers for discrete data, float32 for real data; may be mapped from a
            file, and is then never copied whole.
        labels: `(N,)` int64 class of each example, None where there are none.
        features: `(N, F, *sites)` float32, aligned with the sites and given, not modelled; None where there are none.
        context: `(N, F)` float32, numbers given with each example, not modelled, in their own units; None for none.
    """

    x: np.ndarray
    labels: np.ndarray | None = None
    features: np.ndarray | None = None
    context: np.ndarray | None = None

    def at(self, index: np.ndarray | slice) -> "Split":
        """Return some of the examples."""
        parts: dict[str, Any] = {name: None if a is None else a[index] for name, a in vars(self).items()}
        return Split(**parts)


Splits = dict[str, Split]  # keys: SPLITS


class Dataset(Protocol):
    """Where examples come from, as `ArrayDataModule` reads them.

    A dataset is a class whose keyword-only constructor arguments are its config keys: annotated with a plain type, a
    `Literal` or a name from `fieldtypes`, with literal defaults, and documented in the `Args:` block of the class
    docstring. The first line of that docstring is what `run.py list` shows. The constructor reads no data.
    `contiguous` says that each split is one long sequence, cut into examples that follow each other in their order.
    """

    contiguous: bool = False

    @property
    def spec(self) -> DataSpec:
        """Shape, support and number of classes of one example; no more is read for it than must be."""

    @property
    def regime(self) -> str:
        """One line that a published number must agree with: what is done to the data, the splits and their sizes."""

    def load(self) -> Splits:
        """Read the three splits, downloaded if need be: the same arrays on every call and machine.

        Raises:
            UserError: a file is missing, cannot be downloaded or is not what it should be.
        """

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        """Map a stored batch `(B, C, *sites)` of any split to the values of `spec`, without randomness."""
        return x

    def describe(self) -> list[list[str]]:
        """Return what was told of the data as the rows of a table, its header first; none where the spec says all."""
        return []

    def in_terms_of(self, spec: DataSpec) -> "Dataset":
        """Return the data in the terms of a density of this spec, where the data's own are told from its values."""
        return self

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray | None:
        """Return log p `(N,)` in nats of examples `(N, C, *sites)` if the density of the data is known, else None.

        Labels are marginalised; features are given.
        """
        return None

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        """Augment a training batch after `values`; randomness comes from torch's global generator."""
        return x


class Delegated(Dataset):
    """A dataset that is what its `_rows` are, which are read once they are needed: its constructor reads no data."""

    @cached_property
    @abstractmethod
    def _rows(self) -> Dataset:
        """Return the dataset that it is."""

    @property
    def spec(self) -> DataSpec:
        return self._rows.spec

    @property
    def regime(self) -> str:
        return self._rows.regime

    def load(self) -> Splits:
        return self._rows.load()

    def describe(self) -> list[list[str]]:
        return self._rows.describe()

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray | None:
        return self._rows.true_log_prob(x, features)


def hold_out(n: int, missing: Sequence[str], seed: int, where: object) -> dict[str, np.ndarray]:
    """Hold out a tenth of n training examples for each missing split; return the indices of each split and `train`."""
    held = max(1, n // 10)
    if missing and n <= held * len(missing):
        raise UserError(f"{where}: {n} training examples are too few to hold out {' and '.join(missing)}")
    if not missing:
        return {"train": np.arange(n)}
    parts = np.split(shuffled(n, seed), [held * (i + 1) for i in range(len(missing))])
    return dict(zip([*missing, "train"], parts, strict=True))


def hold_out_last(n: int, train: Split, test: Split) -> Splits:
    """Return splits whose validation examples are the last n of the training ones."""
    cut = len(train.x) - n
    return {"train": train.at(slice(cut)), "valid": train.at(slice(cut, None)), "test": test}


def shuffled(n: int, seed: int) -> np.ndarray:
    """Return a permutation of `range(n)`; it is the same in every version of NumPy."""
    return np.random.RandomState(seed % 2**32).permutation(n)  # RandomState: its stream is frozen, Generator's is not


def users_file(
    path: str | None, dataset: str, example: str, suffixes: Sequence[str], thing: str, key: str = "path"
) -> Path:
    """Return the file that `data.path` names, for a dataset that takes files with these suffixes, called `thing`."""
    if path is None:
        raise UserError(f"data.{key}: data '{dataset}' needs a file; give data.{key}={example}")
    file = Path(path).expanduser()
    if not file.is_file():
        refuse_pipe(file, f"data.{key}")
        hint = nearby(file, lambda entry: entry.suffix in suffixes and entry.is_file(), thing)
        raise UserError(f"data.{key}: no file {file}{hint}")
    return file
