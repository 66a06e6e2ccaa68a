"""The contract of a dataset; reading .npz files and holding out splits, for several of them."""

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.spec import DataSpec

if TYPE_CHECKING:
    import torch

__all__ = ["SPLITS", "Dataset", "Split", "Splits", "hold_out", "no_file", "read_npz", "shuffled"]

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Args:
        x: `(N, C, *sites)`, unsigned or signed integers for discrete data, float32 for real data; may be mapped from a
            file, and is then never copied whole.
        labels: `(N,)` int64 class of each example, None where there are none.
        features: `(N, F, *sites)` float32, aligned with the sites and given, not modelled; None where there are none.
    """

    x: np.ndarray
    labels: np.ndarray | None = None
    features: np.ndarray | None = None


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
        """Shape, support and number of classes of one example."""
        ...

    @property
    def regime(self) -> str:
        """One line that a published number must agree with: binarisation, split and sizes."""
        ...

    def load(self) -> Splits:
        """Read the three splits, downloaded if need be: the same arrays on every call and machine.

        Raises:
            UserError: a file is missing, cannot be downloaded or is not what it should be.
        """
        ...

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        """Map a stored batch `(B, C, *sites)` of any split to the values of `spec`, without randomness."""
        return x

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray | None:
        """Return log p `(N,)` in nats of examples `(N, C, *sites)` if the density of the data is known, else None.

        Labels are marginalised; features are given.
        """
        return None

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        """Augment a training batch after `values`; randomness comes from torch's global generator."""
        return x


def read_npz(path: Path, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file, or only those named in `keys`; nothing is ever unpickled.

    Raises:
        UserError: the file is no .npz, is damaged, or holds pickled objects.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not an .npz file, or a truncated one; write it with numpy.savez")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if keys is None or key in keys}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: holds pickled objects, which are never loaded; save plain numeric arrays"
            ) from error
        raise UserError(
            f"{path}: damaged or unreadable ({type(error).__name__}); write or download it again"
        ) from error
    return {key: array for key, array in arrays.items() if isinstance(array, np.ndarray)}


def hold_out(n: int, missing: Sequence[str], seed: int, where: object) -> dict[str, np.ndarray]:
    """Hold out a tenth of the training examples for each missing split; return the indices of each split and `train`.

    Args:
        n: number of examples.
        missing: the splits to hold out.
        seed: of the choice.
        where: the file or dataset, for the message.

    Raises:
        UserError: there are too few examples.
    """
    held = max(1, n // 10)
    if missing and n <= held * len(missing):
        raise UserError(f"{where}: {n} training examples are too few to hold out {' and '.join(missing)}")
    if not missing:
        return {"train": np.arange(n)}
    parts = np.split(shuffled(n, seed), [held * (i + 1) for i in range(len(missing))])
    return dict(zip([*missing, "train"], parts, strict=True))


def shuffled(n: int, seed: int) -> np.ndarray:
    """Return a permutation of `range(n)`; it is the same in every version of NumPy."""
    return np.random.RandomState(seed % 2**32).permutation(n)  # RandomState: its stream is frozen, Generator's is not


def no_file(path: Path, suffixes: Sequence[str], thing: str) -> UserError:
    """Return the error for a file of the user's that is not there; it names what is nearby.

    Args:
        path: as the user gave it.
        suffixes: of the files that would do.
        thing: what they are called.
    """
    hint = f"; there is no folder {path.parent} either"
    if path.parent.is_dir():
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in suffixes and entry.is_file()]
        hint = did_you_mean(path.name, names) if names else f"; {path.parent} has no {thing}"
    return UserError(f"data.path: no file {path}{hint}")
