"""Any folder of image files (`data.name=image_folder data.path=my_images`)."""

from pathlib import Path
from typing import Literal

from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Splits
from ar_lightning.data.cache import Decoded
from ar_lightning.data.images import EightBitImages, treatment
from ar_lightning.data.labels import as_labels
from ar_lightning.data.split_folder import SplitFolder
from ar_lightning.media.picture import SUFFIXES, open_image

__all__ = ["ImageFolder"]


class ImageFolder(EightBitImages):
    """Your own images from a folder: png, jpg, tif, webp, bmp, gif .., cropped to squares of one size.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits, and other files are then left out; one that is
    missing is held out of train, a tenth of it. Below that, where every image lies in a sub-folder, the names of
    these are the classes, if there are two or more. Hidden files are left out; what is, is said.

    An image is turned upright, and its central square resized to `size`, down by area means (Pillow's BOX) or up by
    BICUBIC. Of an animation the first frame is taken, of 16 bits the upper 8, and what is transparent shows the
    background; this is counted and said. What comes of it is kept in the folder `image_folder` of $AR_LIGHTNING_DATA,
    else of the user's cache; a changed file makes a new copy.

    Args:
        path: the folder.
        size: pixels a side.
        channels: 3 for colour, 1 for grey.
        levels: levels a channel of a pixel is quantised to.
        split_seed: seed of the held-out splits, where the folder has none.
        flip: mirror training images left to right at random, each with probability 1/2.
        background: what lies behind transparent images.
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
        background: Literal["white", "black"] = "white",
    ) -> None:
        self.folder = SplitFolder(path, "image_folder", "images", SUFFIXES, split_seed)
        self.size = size
        self.channels = channels
        self.levels = levels
        self.flip = flip
        self.background = background

    @property
    def spec(self) -> DataSpec:
        shape, names = (self.channels, self.size, self.size), self.folder.classes
        return DataSpec(shape, self.levels, len(names), labels=as_labels(names))

    @property
    def regime(self) -> str:
        self.load()  # which counts what there is to note
        look = f"{self.size}x{self.size} {'colour' if self.channels == 3 else 'grey'} (central squares, area means)"
        sizes = "/".join(str(len(self.folder.files[name])) for name in SPLITS)
        values = treatment(f"{self.levels} levels", self.flip)
        return f"{self.folder.name}, {look}, {values}, {self.folder.regime}, {sizes}{self.folder.notes}"

    def load(self) -> Splits:
        return self.folder.load((self.size, self.channels, self.background), self._read)

    def _read(self, file: Path) -> Decoded:
        picture = open_image(file, self.channels, (self.size, self.size), self.background)
        return Decoded(picture.pixels[None], picture.remarks)
