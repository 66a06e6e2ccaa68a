"""Pictures as files: grids of samples, and the curves of a run."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.spec import DataSpec

__all__ = ["completion_grid", "curves_png", "image_grid", "save_png"]

CELL = 56  # pixels that a small image is enlarged to
GAP = 2
UNKNOWN = np.array([255, 200, 120], dtype=np.uint8)  # colour of what a completion was not told
BACKGROUND = 96


def image_grid(x: Tensor, spec: DataSpec, columns: int = 0) -> np.ndarray:
    """Lay examples `(N, C, *sites)` out in a grid, enlarged; returns `(height, width, 3)` uint8."""
    images = to_rgb(x, spec)
    height, width = images.shape[1:3]
    return _grid([*images], columns or max(1, int(np.ceil(np.sqrt(len(images) * height / width)))))


def completion_grid(x: Tensor, masks: Tensor, drawn: Tensor, spec: DataSpec) -> np.ndarray:
    """Lay out, a row each: the example, and for each mask what was known of it and its completions.

    Args:
        x: examples `(N, C, *sites)`.
        masks: True where a value is known, `(M, C, *sites)`.
        drawn: completions `(N, M, K, C, *sites)`.
        spec: of the data.
    """
    original, completed = to_rgb(x, spec), to_rgb(drawn.flatten(0, 2), spec)
    completed = completed.reshape(*drawn.shape[:3], *original.shape[1:])
    cells = [original]
    for m, is_known in enumerate(to_rgb(masks.long(), DataSpec(spec.shape, 2)).astype(bool)):
        cells += [np.where(is_known, original, UNKNOWN), *completed[:, m].swapaxes(0, 1)]
    return _grid([image for row in zip(*cells, strict=True) for image in row], len(cells))


def to_rgb(x: Tensor, spec: DataSpec) -> np.ndarray:
    """Map values `(N, C, *sites)` to `(N, height, width, 3)` uint8; what is no image becomes one row of pixels."""
    values = x.detach().cpu().float()
    if spec.levels is None:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp(min=1e-12)
    else:
        values = values / (spec.levels - 1)
    if values.ndim != 4:
        values = values.flatten(2)[:, :, None]
    if values.shape[1] not in (1, 3):
        values = values.flatten(1, 2)[:, None]  # channels that are no colours: one below the other
    images = (values * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _grid(images: list[np.ndarray], columns: int) -> np.ndarray:
    cells = [_cell(image) for image in images]
    rows = [_join(cells[i : i + columns], columns) for i in range(0, len(cells), columns)]
    gap = np.full((GAP, rows[0].shape[1], 3), BACKGROUND, np.uint8)
    return np.concatenate([part for row in rows for part in (gap, row)] + [gap])


def _cell(image: np.ndarray) -> np.ndarray:
    scale = max(1, CELL // max(image.shape[:2]))
    return image.repeat(scale, 0).repeat(scale, 1)


def _join(cells: list[np.ndarray], columns: int) -> np.ndarray:
    height, width = cells[0].shape[:2]
    gap = np.full((height, GAP, 3), BACKGROUND, np.uint8)
    blank = np.full((height, width, 3), BACKGROUND, np.uint8)
    padded = cells + [blank] * (columns - len(cells))
    return np.concatenate([part for cell in padded for part in (gap, cell)] + [gap], axis=1)


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Write a picture, in one step."""
    from PIL import Image

    with written(path) as partial:
        Image.fromarray(np.ascontiguousarray(pixels)).save(partial, format="png")


def curves_png(metrics: Path, path: Path, title: str) -> None:
    """Plot training and validation bits/dim over the epochs of a `metrics.csv`."""
    from matplotlib.figure import Figure

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label in (("train/bpd", "train"), ("val/bpd", "valid")):
        points = [(int(row["epoch"]) + 1, float(row[key])) for row in rows if row.get(key)]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
    axes.set(xlabel="epoch", ylabel="bits/dim", title=title)
    if axes.lines:
        axes.legend()
    axes.grid(alpha=0.3)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
