"""Frames of channels, and examples of different numbers of them, as files and as densities have them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ar_lightning.core.errors import UserError
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.ragged import flat_of, ragged

__all__ = ["Frames", "frames_for", "frames_in", "frames_of", "with_ends"]


class Frames(NamedTuple):
    """The frames of all examples one after another, `(sum, C)`, and how many each has, `(N,)`."""

    values: np.ndarray
    sizes: np.ndarray


def frames_of(
    x: np.ndarray, where: str, lengths: np.ndarray | None = None, offsets: np.ndarray | None = None
) -> Frames:
    """Return the frames of examples `(N, T, C)`, so many of each; or `(sum, C)`, which begin at `offsets`.

    Raises:
        UserError: an array of another shape, or lengths or offsets that do not fit it.
    """
    if x.ndim != 2 + (offsets is None):
        layout = "(sum, C), as it has offsets" if offsets is not None else "(N, T, C)"
        raise UserError(f"{where} is of shape {x.shape}; save frames of shape {layout}")
    if lengths is None and offsets is None:
        lengths = np.full(len(x), x.shape[1])
    flat = flat_of(np.arange(x[..., 0].size).reshape(x.shape[:-1]), where, lengths, offsets)
    return Frames(x.reshape(-1, x.shape[-1])[flat.values], flat.sizes)


def with_ends(frames: np.ndarray, sizes: np.ndarray, length: int, kind: DTypeLike = np.uint8) -> np.ndarray:
    """Return examples `(N, 1 + C, length)` of so many frames each, `(N,)`, which lie one after another `(sum, C)`.

    They are of the type `kind`. The first channel is 1 where an example is over. Those of `length` frames or more are
    cut there, and have no end.

    Example:
        >>> with_ends(np.array([[0, 1], [1, 1], [1, 0]]), np.array([1, 2]), 3)[1].tolist()
        [[0, 0, 1], [1, 1, 0], [1, 0, 0]]
    """
    n, channels = frames.shape
    kinds = np.zeros((n + 1, 1 + channels), kind)
    kinds[:n, 1:] = frames
    kinds[n, 0] = 1
    rows = ragged(np.arange(n), sizes, length, n)[:, 0]
    return np.ascontiguousarray(kinds[rows].transpose(0, 2, 1))


def frames_in(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames `(N, T, C)` of examples `(N, 1 + C, T)`, and how many each has `(N,)`."""
    return np.ascontiguousarray(x[:, 1:].transpose(0, 2, 1)), (x[:, 0] == 0).sum(1)


def frames_for(
    x: np.ndarray, spec: DataSpec, where: str, lengths: np.ndarray | None = None, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Return frames of a file, see `frames_of`, as examples `(N, C, T)` of a density; say what is cut.

    Raises:
        UserError: they are not what the density takes.
    """
    found = frames_of(x, where, lengths, offsets)
    channels, length = spec.shape[0] - spec.ends, spec.shape[1]
    if found.values.shape[1] != channels:
        raise UserError(f"{where} is of shape {x.shape}; this density takes frames of {channels} channels")
    if not spec.ends:
        if offsets is not None or x.shape[1] != length:
            raise UserError(f"{where} is of shape {x.shape}; this density takes {length} frames an example")
        return x.transpose(0, 2, 1)
    if lengths is None and offsets is None:
        raise UserError(f"{where}: this density takes examples of different lengths: save how many frames each has too")
    if spec.levels and not np.isin(found.values, (0, 1)).all():
        raise UserError(f"{where} holds other values than 0 and 1, which the channels of this density are; mend them")
    if cut := int((found.sizes >= length).sum()):
        most = f"{cut} of {len(found.sizes)} examples are cut to their first {length} frames"
        notice(f"{where}: {most}: this density was trained on none that are longer, and log p is of what is left")
    kind = np.uint8 if spec.levels else np.float32 if found.values.dtype.kind != "f" else found.values.dtype
    return with_ends(found.values, found.sizes, length, kind)
