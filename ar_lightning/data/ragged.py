"""Sequences of different lengths as rows of one array: each goes as far as it goes, and the end fills the rest."""

from typing import NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError

__all__ = ["Flat", "flat_of", "ragged", "rows_of"]


class Flat(NamedTuple):
    """Sequences of different lengths, one after another, and the size of each, `(N,)`."""

    values: np.ndarray
    sizes: np.ndarray


def ragged(flat: np.ndarray, sizes: np.ndarray, length: int, end: int) -> np.ndarray:
    """Return sequences of these sizes `(N,)`, one after another in `flat`, as rows `(N, 1, length)`.

    Those that are as long as a row, or longer, are cut there, and have no end.

    Example:
        >>> ragged(np.array([1, 0, 1, 1, 0, 1]), np.array([2, 0, 4]), length=3, end=2)[:, 0].tolist()
        [[1, 0, 2], [2, 2, 2], [1, 1, 0]]
    """
    kept = np.minimum(sizes, length)
    row = np.repeat(np.arange(len(sizes)), kept)
    column = np.arange(kept.sum()) - np.repeat(kept.cumsum() - kept, kept)
    x = np.full((len(sizes), 1, length), end, np.uint8 if end < 256 else np.int32)
    x[row, 0, column] = flat[np.repeat(sizes.cumsum() - sizes, kept) + column]
    return x


def rows_of(sizes: np.ndarray, most: int | None) -> tuple[int, int]:
    """Return the length of rows for sequences of these sizes, at most `most`, and how many are cut there."""
    length = int(sizes.max()) + 1 if most is None else most
    return length, int((sizes >= length).sum())


def flat_of(x: np.ndarray, where: str, lengths: np.ndarray | None, offsets: np.ndarray | None) -> Flat:
    """Return the values of sequences one after another, and the size of each.

    Args:
        x: padded sequences `(N, T)` that have `lengths` `(N,)`; or all of them one after another, `(sum,)`, where
            sequence i is `x[offsets[i]:offsets[i + 1]]`.
        where: what they are, for messages.
        lengths, offsets: whole numbers; one of them is null.

    Raises:
        UserError: lengths or offsets do not fit the sequences.
    """
    given, name = (offsets, "offsets") if lengths is None else (lengths, "lengths")
    if given is None or given.ndim != 1 or given.dtype.kind not in "ui" or not given.size:
        raise UserError(f"{where}: its {name} are no row of whole numbers; save integers of shape (N,)")
    given = given.astype(np.int64)
    if lengths is None:
        sizes = np.diff(given)
        if x.ndim != 1 or given[0] != 0 or given[-1] != len(x) or (sizes < 0).any() or not len(sizes):
            raise UserError(
                f"{where} is of shape {x.shape}; its offsets have to rise from 0 to its length, N + 1 of them"
            )
        return Flat(x, sizes)
    if x.ndim != 2 or len(x) != len(given) or given.min() < 0 or given.max() > x.shape[1]:
        raise UserError(f"{where} is of shape {x.shape}; each of its {len(given)} lengths has to be 0 to T, of (N, T)")
    return Flat(x[np.arange(x.shape[1]) < given[:, None]], given)
