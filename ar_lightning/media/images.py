"""Images: grids of samples and completions."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Images", "completion_grid", "image_grid", "is_image", "save_png", "to_rgb"]

CELL = 56  # pixels that a small image is enlarged to
GAP = 2
UNKNOWN = np.array([255, 200, 120], dtype=np.uint8)  # colour of what a completion was not told
BACKGROUND = 96


class Images(Media):
    """Images in grey or colour, and arrays of which nothing else is known: a grid."""

    name = "plain arrays or images"
    unit = "rows"
    completions = 6  # shared among the masks

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write a grid, `STEM.png`."""
        path = stem.with_name(f"{stem.name}.png")
        save_png(image_grid(x, self.spec, columns), path)
        return {"samples": path}

    def write_completions(self, x: Tensor, masks: Tensor, drawn: Tensor, stem: Path) -> Files:
        """Write a grid, `STEM.png`, with a row for each example."""
        path = stem.with_name(f"{stem.name}.png")
        save_png(completion_grid(x, masks, drawn, self.spec), path)
        return {"completions": path}

    def show(self, x: Tensor, columns: int = 0) -> "Image":
        """Return a grid as a picture."""
        from PIL import Image

        return Image.fromarray(image_grid(x, self.spec, columns))


def is_image(spec: DataSpec) -> bool:
    """Return True if the data is images on levels of grey or colour."""
    levels = spec.without_noise().levels
    return spec.medium is None and len(spec.shape) == 3 and spec.shape[0] in (1, 3) and 2 <= (levels or 0) <= 256


def image_grid(x: Tensor, spec: DataSpec, columns: int = 0) -> np.ndarray:
    """Lay examples `(N, C, *sites)` out in a grid, enlarged: `(height, width, 3)` uint8."""
    images = to_rgb(x, spec)
    height, width = images.shape[1:3]
    return _grid(images, columns or max(1, int(np.ceil(np.sqrt(len(images) * height / width)))))


def completion_grid(x: Tensor, masks: Tensor, drawn: Tensor, spec: DataSpec) -> np.ndarray:
    """Lay out a row for each example: the example, and for each mask what was known of it and its completions.

    Of examples `(N, C, *sites)`, masks `(M, C, *sites)` of what is known and completions `(N, M, K, C, *sites)`.
    """
    original, completed = to_rgb(x, spec), to_rgb(drawn.flatten(0, 2), spec)
    completed = completed.reshape(*drawn.shape[:3], *original.shape[1:])
    cells = [original]
    for m, is_known in enumerate(to_rgb(masks.long(), DataSpec(spec.shape, 2)).astype(bool)):
        cells += [np.where(is_known, original, UNKNOWN), *completed[:, m].swapaxes(0, 1)]
    return _grid(np.stack(cells, 1).reshape(-1, *original.shape[1:]), len(cells))


def to_rgb(x: Tensor, spec: DataSpec) -> np.ndarray:
    """Map values `(N, C, *sites)` to pixels `(N, height, width, 3)` uint8; a sequence becomes one row of pixels."""
    values, levels = Images(spec).without_noise(x).detach().cpu().float(), spec.without_noise().levels
    if levels is None:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp(min=1e-12)
    elif spec.ends:
        over, values = values == spec.end, values / max(1, levels - 2)
        values[over] = BACKGROUND / 255
    else:
        values = values / (levels - 1)
    if values.ndim != 4:
        values = values.flatten(2)[:, :, None]
    if values.shape[1] not in (1, 3):
        values = values.flatten(1, 2)[:, None]  # channels that are no colours: one below the other
    images = (values * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay images `(N, height, width, 3)` out in rows of so many, enlarged if they are small."""
    scale = max(1, CELL // max(images.shape[1:3]))
    cells = images.repeat(scale, 1).repeat(scale, 2)
    height, width = cells.shape[1:3]
    rows = -(-len(cells) // columns)
    grid = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), BACKGROUND, np.uint8)
    for i, cell in enumerate(cells):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        grid[top : top + height, left : left + width] = cell
    return grid


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Write pixels `(height, width, 3)` as a PNG, in one step."""
    from PIL import Image

    with written(path) as partial:
        Image.fromarray(np.ascontiguousarray(pixels)).save(partial, format="png")
