"""What is kept of a run's data to know them again: their sizes, and a sample of their values."""

import hashlib
from typing import Any

import numpy as np
import torch

from ar_lightning.data.base import Split, Splits

__all__ = ["Fingerprint", "changed", "fingerprint"]

Fingerprint = dict[str, dict[str, Any]]  # of each split: the number of examples, and what is kept of each array

EXAMPLES, VALUES = 64, 512


def fingerprint(splits: Splits) -> Fingerprint:
    """Return the sizes of splits, a digest of the levels of some examples, and some of the real values."""
    return {name: _of(split) for name, split in splits.items()}


def changed(before: Fingerprint, now: Fingerprint) -> str | None:
    """Say which data are not what they were, None where all are; real values may differ by rounding."""
    for name, old in before.items():
        new = now[name]
        if old["examples"] != new["examples"]:
            return f"{new['examples']} {name} examples, and {old['examples']} before"
        if old.keys() != new.keys() or not all(_same(old[key], new[key]) for key in old):
            return f"other {name} examples than before"
    return None


def _of(split: Split) -> dict[str, Any]:
    arrays = {name: array for name, array in vars(split).items() if array is not None}
    return {"examples": len(split.x)} | {name: _sample(array) for name, array in arrays.items()}


def _sample(array: np.ndarray) -> str | torch.Tensor:
    random = np.random.RandomState(0)  # its stream is frozen
    if np.issubdtype(array.dtype, np.floating):
        return torch.from_numpy(array[tuple(random.randint(0, size, VALUES) for size in array.shape)])
    rows = array[np.sort(random.randint(0, len(array), EXAMPLES))]
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        return torch.allclose(old, new, rtol=1e-3, atol=1e-4, equal_nan=True)
    return type(old) is type(new) and bool(old == new)
