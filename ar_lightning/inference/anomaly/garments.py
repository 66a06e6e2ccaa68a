"""Pictures of clothes, drawn: filled silhouettes with grey shading, a stand-in for Fashion-MNIST without its files."""

import numpy as np
from PIL import Image, ImageDraw

from ar_lightning.data.user.image_folder import fitted

__all__ = ["KINDS", "garment"]

CANVAS = 112  # pixels a side that are drawn; area means make it smaller
SLIM, WIDE = 0.8, 1.05  # range of the scale of a silhouette along each axis

Points = list[tuple[float, float]]  # x to the right and y downwards, the canvas is the unit square

SHIRT: Points = [
    (0.36, 0.10), (0.64, 0.10), (0.96, 0.32), (0.86, 0.50), (0.73, 0.42), (0.73, 0.92), (0.27, 0.92), (0.27, 0.42),
    (0.14, 0.50), (0.04, 0.32),
]  # fmt: skip
TROUSERS: Points = [(0.29, 0.05), (0.71, 0.05), (0.77, 0.96), (0.56, 0.96), (0.5, 0.3), (0.44, 0.96), (0.23, 0.96)]
SHOE: Points = [
    (0.03, 0.60), (0.22, 0.56), (0.45, 0.42), (0.58, 0.33), (0.74, 0.40), (0.95, 0.36), (0.97, 0.76), (0.03, 0.76),
]  # fmt: skip
DRESS: Points = [
    (0.36, 0.04), (0.44, 0.12), (0.56, 0.12), (0.64, 0.04), (0.61, 0.38), (0.84, 0.96), (0.16, 0.96), (0.39, 0.38),
]  # fmt: skip
BAG: Points = [(0.16, 0.40), (0.84, 0.40), (0.92, 0.90), (0.08, 0.90)]
KINDS: dict[str, Points] = {"shirt": SHIRT, "trousers": TROUSERS, "shoe": SHOE, "bag": BAG, "dress": DRESS}


def garment(kind: str, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    """Draw one piece of clothing on black, in a size and shade of its own.

    Args:
        kind: one of `KINDS`.
        shape: `(C, H, W)`, C 1 for grey or 3 for colour.
        random: what size and shades are drawn from.

    Returns:
        `(C, H, W)` uint8.
    """
    scale = random.uniform(SLIM, WIDE, 2)

    def place(points: Points) -> Points:
        return [(x, y) for x, y in ((np.array(points) - 0.5) * scale + 0.5) * CANVAS]

    mask = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(mask)
    draw.polygon(place(KINDS[kind]), fill=255)
    if kind == "bag":
        draw.arc([*place([(0.3, 0.12), (0.7, 0.68)])[0], *place([(0.3, 0.12), (0.7, 0.68)])[1]], 180, 360, 255, 7)
    if kind == "shirt":
        draw.ellipse([*place([(0.42, 0.02)])[0], *place([(0.58, 0.18)])[0]], fill=0)
    grey = np.asarray(mask) / 255 * _shading(random)
    if kind == "shoe":
        sole = int(((0.68 - 0.5) * scale[1] + 0.5) * CANVAS)
        grey[sole:] *= 0.6
    if random.rand() < 0.5:
        grey = grey[:, ::-1]
    tint = random.uniform(0.3, 1, 3) if shape[0] == 3 else np.ones(1)
    pixels = (grey[..., None] * tint * 255).astype(np.uint8)
    image = fitted(Image.fromarray(pixels[..., 0] if shape[0] == 1 else pixels), *shape[1:])
    return np.asarray(image).reshape(*shape[1:], shape[0]).transpose(2, 0, 1)


def _shading(random: np.random.RandomState) -> np.ndarray:
    """Return brightness in 0..1 over the canvas: a base, light from a side, folds, and the grain of the cloth."""
    across = np.linspace(-1, 1, CANVAS)
    base, slope, fold, phase = random.uniform([0.4, -0.2, 0.0, 0], [0.9, 0.2, 0.15, 6.3])
    light = base + slope * across[:, None] + fold * np.sin(random.uniform(4, 12) * across + phase)
    grain = random.normal(0, 0.03, (CANVAS // 4, CANVAS // 4)).repeat(4, 0).repeat(4, 1)
    shades: np.ndarray = (light + grain).clip(0.1, 1)
    return shades
