"""The medium of a dataset, chosen by what its spec says the values are, and its pictures."""

from typing import TYPE_CHECKING

from torch import Tensor

from ar_lightning.core import medium
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Media
from ar_lightning.media.images import Images
from ar_lightning.media.mixed import MixedTables
from ar_lightning.media.roll import Rolls
from ar_lightning.media.sound import Sounds
from ar_lightning.media.table import Tables
from ar_lightning.media.text import Texts

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["media_of", "show"]

CLASSES: dict[type, type[Media]] = {
    medium.Audio: Sounds, medium.Roll: Rolls, medium.Text: Texts, medium.Table: Tables, medium.MixedTable: MixedTables,
}  # fmt: skip


def media_of(spec: DataSpec) -> Media:
    """Return the medium of data: sound, text, frames or a table; images (or plain arrays) if the spec names none.

    Example:
        >>> media_of(DataSpec((1, 28, 28), 2)).name
        'plain arrays or images'
    """
    return CLASSES.get(type(spec.medium), Images)(spec)


def show(x: Tensor, spec: DataSpec, columns: int = 0) -> "Image":
    """Return data values as one picture, which a notebook displays: a grid of images, or a sheet of waveforms.

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
