"""Data values as one picture, which a notebook shows."""

import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.images import image_grid
from ar_lightning.media.sound import sound_sheet_png
from ar_lightning.media.write import as_levels

__all__ = ["show"]


def show(x: Tensor, spec: DataSpec, columns: int = 0) -> Image.Image:
    """Return data values as one picture: a grid of images, or a sheet of waveforms.

    Args:
        x: data values `(N, C, *sites)`, such as samples; N is at least 1.
        spec: of the data, such as `density.spec`.
        columns: of a grid of images; 0 for a grid about as wide as high.

    Raises:
        ValueError: wrong shape, or data that has no picture: text, or the rows of a table.
    """
    if tuple(x.shape[1:]) != spec.shape:
        raise ValueError(f"expected data (N, {', '.join(map(str, spec.shape))}), got {tuple(x.shape)}")
    if not len(x):
        raise ValueError("there is nothing to show: x holds no example")
    match spec.medium:
        case Text():
            raise ValueError("text is no picture: ar_lightning.media.text.to_text(x, spec) returns it as strings")
        case Table():
            raise ValueError("rows are no picture: ar_lightning.media.write.write_samples(x, spec, stem) writes them")
        case Audio():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "sheet.png"
                sound_sheet_png(x, spec, path)
                with Image.open(path) as image:
                    return image.copy()
    return Image.fromarray(image_grid(*as_levels(x, spec), columns))
