"""Any folder of image files (`data.name=image_folder data.path=my_images`)."""

import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ar_lightning.data.arrays import SPLITS, Split, Splits, hold_out
from ar_lightning.data.cache import cached_split, decoded, fingerprint, open_image, stamp
from ar_lightning.data.download import ENVIRONMENT, data_root
from ar_lightning.data.images import EightBitImages, treatment
from ar_lightning.errors import UserError, nearest
from ar_lightning.fieldtypes import NonNegativeInt, PositiveInt
from ar_lightning.spec import DataSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageFolder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
NAMES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}  # folders of a split


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
        if path is None:
            raise UserError("data.path: data 'image_folder' needs a folder; give data.path=my_images")
        self.path = Path(path).expanduser()
        self.size = size
        self.channels = channels
        self.levels = levels
        self.split_seed = split_seed
        self.flip = flip
        if not self.path.is_dir():
            if self.path.is_file():
                raise UserError(f"data.path: {self.path} is a file, not a folder of images")
            raise UserError(f"data.path: no folder {self.path}{_nearby(self.path)}")
        if not os.access(self.path, os.R_OK | os.X_OK):
            raise UserError(f"data.path: {self.path} cannot be read; check its permissions")

    @property
    def spec(self) -> DataSpec:
        """Shape, support and number of classes; lists the files once, and reads none."""
        return DataSpec((self.channels, self.size, self.size), self.levels, len(self._classes))

    @property
    def regime(self) -> str:
        """What is done to the images, sizes of the splits, and which of them were held out of train."""
        missing = [name for name in SPLITS if name != "train" and name not in self._folders]
        split = f"{' and '.join(missing)} held out of train with seed {self.split_seed}" if missing else "its splits"
        look = f"{self.size}x{self.size} {'colour' if self.channels == 3 else 'grey'} (central squares, area means)"
        sizes = "/".join(str(len(self._files[name])) for name in SPLITS)
        return f"{self.path.resolve().name}, {look}, {treatment(f'{self.levels} levels', self.flip)}, {split}, {sizes}"

    def load(self) -> Splits:
        """Return the three splits, memory-mapped and unquantised.

        Raises:
            UserError: a file cannot be read as an image, there are too few, or what they make cannot be kept.
        """
        return {name: self._split(name) for name in SPLITS}

    def _split(self, name: str) -> Split:
        files = self._files[name]
        base = self.path.resolve()
        key = fingerprint(self.size, self.channels, [(str(file.parent), *stamp(base / file)) for file in files])
        path = data_root(None) / "image_folder" / f"{base.name}-{self.size}-{name}-{key}.npy"
        prepare = partial(_fitted, size=self.size)
        read = partial(open_image, channels=self.channels, prepare=prepare)
        title, fix = f"{base.name} {name}", f"make room, or set {ENVIRONMENT} to another folder"
        x = cached_split(path, lambda: decoded([base / file for file in files], read, title), fix).x
        numbers = {class_name: i for i, class_name in enumerate(self._classes)}
        return Split(x, np.array([numbers[self._class_of(file)] for file in files], np.int64) if numbers else None)

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Folder of each split that has one; none where the images are not split."""
        there = {path.name for path in self.path.iterdir() if path.is_dir()}
        found = {split: [name for name in names if name in there] for split, names in NAMES.items()}
        if twice := next((names for names in found.values() if len(names) > 1), None):
            raise UserError(f"{self.path}: {' and '.join(twice)} are names of the same split; rename one of them")
        if any(found.values()) and not found["train"]:
            other = next(names[0] for names in found.values() if names)
            raise UserError(f"{self.path}: has a folder '{other}' but no 'train'; make one, or rename '{other}'")
        return {split: names[0] for split, names in found.items() if names}

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Files of each split, relative to the folder, in an order that does not depend on the file system."""
        files = {split: _images(self.path, folder) for split, folder in (self._folders or {"train": ""}).items()}
        for split, found in files.items():
            if not found:
                where = self.path / self._folders.get(split, "")
                raise UserError(f"{where}: no images ({', '.join(SUFFIXES)}) in this folder or below; check data.path")
        missing = [split for split in SPLITS if split not in files]
        train = files["train"]
        parts = hold_out(len(train), missing, self.split_seed, self.path)
        return files | {split: [train[i] for i in sorted(index)] for split, index in parts.items()}

    @cached_property
    def _classes(self) -> list[str]:
        """Names of the classes, none where an image lies in no class folder."""
        by_split = {split: {self._class_of(file) for file in files} for split, files in self._files.items()}
        if any("" in names for names in by_split.values()):
            return []
        of_train = set().union(*(names for split, names in by_split.items() if self._is_of_train(split)))
        if new := {name: split for split, names in by_split.items() for name in names - of_train}:
            name = min(new)
            raise UserError(f"{self.path}: {new[name]} has the class '{name}', but train has no such folder; add it")
        return sorted(of_train) if len(of_train) > 1 else []

    def _is_of_train(self, split: str) -> bool:
        return split == "train" or split not in self._folders  # held out of it

    def _class_of(self, file: Path) -> str:
        """Return the first folder below that of the split, `""` where the image lies directly in that."""
        below: Sequence[str] = file.parts[1:] if self._folders else file.parts
        return below[0] if len(below) > 1 else ""


def _images(base: Path, folder: str) -> list[Path]:
    def refuse(error: OSError) -> None:  # os.walk would leave out the folder
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error

    found = []
    for parent, folders, names in os.walk(base / folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if name[0] != "."]
        inside = Path(parent).relative_to(base)
        found += [inside / n for n in names if n[0] != "." and n.lower().endswith(SUFFIXES)]
    return sorted(found, key=lambda file: file.as_posix())


def _fitted(image: "Image", size: int) -> "Image":
    """Resize the central square, of whole pixels: an image of the right size stays as it is."""
    from PIL.Image import Resampling

    shorter = min(image.size)
    left, top = ((side - shorter) // 2 for side in image.size)
    square = (left, top, left + shorter, top + shorter)
    return image.resize((size, size), Resampling.BOX if shorter >= size else Resampling.BICUBIC, box=square)


def _nearby(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    return nearest(path.name, names)
