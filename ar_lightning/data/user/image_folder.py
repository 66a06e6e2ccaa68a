"""Any folder of image files (`data.name=image_folder data.path=my_images`)."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Splits
from ar_lightning.data.cache import open_image
from ar_lightning.data.images import EightBitImages, treatment
from ar_lightning.data.split_folder import SplitFolder

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageFolder", "fitted"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


class ImageFolder(EightBitImages):
    """Your own images from a folder: png, jpg, webp, bmp or gif, cropped to squares of one size.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits, and other files are then left out; one that is
    missing is held out of train, a tenth of it. Below that, where every image lies in a sub-folder, the names of
    these are the classes, if there are two or more. Hidden files are left out.

    An image is turned upright, and its central square resized to `size`, down by area means (Pillow's BOX) or up by
    BICUBIC. The first frame of an animation is taken, and transparency dropped. What comes of it is kept in the folder
    `image_folder` of $AR_LIGHTNING_DATA, else of the user's cache; a changed file makes a new copy.

    Args:
        path: the folder.
        size: pixels a side.
        channels: 3 for colour, 1 for grey.
        levels: levels a channel of a pixel is quantised to.
        split_seed: seed of the held-out splits, where the folder has none.
        flip: mirror training images left to right at random, each with probability 1/2.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        size: PositiveInt = 32,
        channels: Literal[3, 1] = 3,
        levels: Literal[256, 16, 2] = 256,
        split_seed: NonNegativeInt = 0,
        flip: bool = False,
    ) -> None:
        self.folder = SplitFolder(path, "image_folder", "images", SUFFIXES, split_seed)
        self.size = size
        self.channels = channels
        self.levels = levels
        self.flip = flip

    @property
    def spec(self) -> DataSpec:
        return DataSpec((self.channels, self.size, self.size), self.levels, len(self.folder.classes))

    @property
    def regime(self) -> str:
        look = f"{self.size}x{self.size} {'colour' if self.channels == 3 else 'grey'} (central squares, area means)"
        sizes = "/".join(str(len(self.folder.files[name])) for name in SPLITS)
        values = treatment(f"{self.levels} levels", self.flip)
        return f"{self.folder.name}, {look}, {values}, {self.folder.regime}, {sizes}"

    def load(self) -> Splits:
        return self.folder.load((self.size, self.channels), self._read)

    def _read(self, file: Path) -> np.ndarray:
        return open_image(file, self.channels, partial(fitted, height=self.size, width=self.size))[None]


def fitted(image: "Image", height: int, width: int) -> "Image":
    """Resize the largest central part of the right proportions; an image of the right size stays as it is."""
    from PIL.Image import Resampling

    full_width, full_height = image.size
    part_width = max(1, min(full_width, full_height * width // height))
    part_height = max(1, min(full_height, full_width * height // width))
    left, top = (full_width - part_width) // 2, (full_height - part_height) // 2
    box = (left, top, left + part_width, top + part_height)
    return image.resize((width, height), Resampling.BOX if part_height >= height else Resampling.BICUBIC, box=box)
