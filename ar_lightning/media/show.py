"""Data values as one picture, which a notebook displays."""

from PIL.Image import Image
from torch import Tensor

from ar_lightning.core.spec import DataSpec
from ar_lightning.media.choose import media_of

__all__ = ["show"]


def show(x: Tensor, spec: DataSpec, columns: int = 0) -> Image:
    """Return data values as one picture: a grid of images, or a sheet of waveforms.

    Args:
        x: data values `(N, C, *sites)`, such as samples; N is at least 1.
        spec: of the data, `density.spec`.
        columns: of a grid of images; 0 for a grid about as wide as high.

    Raises:
        ValueError: `x` has another shape or no examples, or the data is text or a table.
    """
    if tuple(x.shape[1:]) != spec.shape:
        raise ValueError(f"expected data (N, {', '.join(map(str, spec.shape))}), got {tuple(x.shape)}")
    if not len(x):
        raise ValueError("there is nothing to show: x holds no example")
    return media_of(spec).show(x, columns)
