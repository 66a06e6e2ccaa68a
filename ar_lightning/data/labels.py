"""Labels of any value, numbered by those that occur."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.spec import DataSpec

__all__ = ["Labels", "as_labels", "numbered", "numbers_of", "values_of"]

MOST = 4000  # classes; more are rather numbers of examples
LARGEST = np.iinfo(np.int64).max


class Labels(NamedTuple):
    """The class `(N,)` int64 of each example by split, and the value that each class has where it is not its number."""

    numbers: dict[str, np.ndarray]
    values: tuple[int | str, ...]
    classes: int


def values_of(labels: np.ndarray, n: int, where: str) -> tuple[np.ndarray, str]:
    """Return the label `(N,)` of each of n examples, int64 or text, and what was done to get it, mostly nothing."""
    done = ""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels, done = labels[:, 0], "of shape (N, 1)"
    elif labels.ndim == 2 and _one_hot(labels):
        labels, done = labels.argmax(1), "one-hot"
    if labels.dtype.kind not in "buiU" or labels.ndim != 1:
        raise UserError(f"{where} is {labels.dtype} of shape {labels.shape}; save integers or text of shape ({n},)")
    if len(labels) != n:
        raise UserError(f"{where} has {len(labels)} labels for {n} examples; make them as many")
    if labels.dtype.kind == "u" and n and labels.max() > LARGEST:
        raise UserError(f"{where} holds {labels.max()}; labels are at most {LARGEST}")
    return (labels if labels.dtype.kind == "U" else labels.astype(np.int64)), done


def _one_hot(labels: np.ndarray) -> bool:
    """Return whether all rows have a single one, and are zero elsewhere."""
    return labels.dtype.kind in "buif" and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def numbered(labels: Mapping[str, np.ndarray], places: Mapping[str, str]) -> Labels:
    """Number the labels of each split in the order of those of train, which must have all; `places` are for messages.

    Example:
        >>> numbered({"train": np.array([1953, 1950, 1953])}, {})
        Labels(numbers={'train': array([1, 0, 1])}, values=(1950, 1953), classes=2)
    """
    known = np.unique(labels["train"])
    if len(known) > MOST:
        what = f"{places['train']}: {len(known):,} different labels; are they numbers of examples, not classes?"
        raise UserError(what, hint=f"leave them out, or give {MOST:,} classes at most")
    numbers = {}
    for name, y in labels.items():
        if (y.dtype.kind == "U") != (known.dtype.kind == "U"):
            raise UserError(f"{places[name]} is {y.dtype}, and that of train {labels['train'].dtype}; save one kind")
        if len(new := np.flatnonzero(~np.isin(y, known))):
            what = f"{places[name]}: example {new[0]} has the label {y[new[0]]}, which does not occur in train"
            raise UserError(what, hint="move examples of it there, or leave it out")
        numbers[name] = np.searchsorted(known, y)
    return Labels(numbers, as_labels(known.tolist()), len(known))


def as_labels(values: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return the values of classes, nothing where these are their numbers."""
    return () if [*map(str, values)] == [*map(str, range(len(values)))] else tuple(values)


def numbers_of(labels: np.ndarray, spec: DataSpec, where: str) -> np.ndarray:
    """Return the class `(N,)` int64 that a density of this spec knows each label `(N,)` as."""
    values, inverse = np.unique(labels, return_inverse=True)
    text = values.dtype.kind == "U"
    known = {str(spec.label_of(k)): k for k in range(spec.classes)}
    numbers = [known.get(str(value)) for value in values.tolist()]
    if None in numbers:
        k = numbers.index(None)
        where = f"{where}: example {np.flatnonzero(inverse == k)[0]}"
        hint = nearest(values[k], known) if text else ""
        raise UserError(f"{where} has the label {values[k]}; the classes are {spec.class_names}{hint}")
    return np.array(numbers, np.int64)[inverse]
