"""Downsampled ImageNet, 32x32 and 64x64, in its two versions; local files only, converted once and memory-mapped."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Split, Splits, hold_out_last
from ar_lightning.data.cache import Blocks, Decoded, cached_split, decoded, fingerprint, stamp
from ar_lightning.data.download import ELSEWHERE, data_root
from ar_lightning.data.images import EightBitImages, treatment
from ar_lightning.data.npz_file import read_npz
from ar_lightning.media.picture import open_image

__all__ = ["ImageNet32", "ImageNet64"]

OFFICIAL = {"npz": (1_281_167, 50_000), "png": (1_281_149, 49_999)}  # images in the training and validation sets
PAPER = {"npz": "Chrabaszcz et al. 2017 (npz)", "png": "van den Oord et al. 2016 (PNG, the PixelRNN paper)"}


class _Downsampled(EightBitImages):
    """ImageNet at a fraction of its size.

    There are two versions of different pixels, so numbers on one do not compare with those on the other: the batches of
    Chrabaszcz et al. 2017 in .npz files, with labels, and the older PNG images of van den Oord et al. 2016, the ones of
    PixelRNN, without. The official validation set is the test set of published numbers; the validation split is
    the last of the training images.

    Where SIZE is 32 or 64, the data folder, or `imagenetSIZE` in it, holds `ImagenetSIZE_train*_npz.zip` and
    `ImagenetSIZE_val_npz.zip` or the folders they unpack to (in `imagenetSIZE`, or the .npz files themselves), or the
    folders `train_SIZExSIZE` and `valid_SIZExSIZE` of PNG files. They are converted once, into .npy files beside them.

    Args:
        version: npz or png; null for the one that is there.
        levels: levels a channel of a pixel is quantised to.
        held_out: number of training images in the validation split, but at most a tenth of them.
        flip: mirror training images left to right at random, each with probability 1/2.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    size: ClassVar[int]

    def __init__(
        self,
        *,
        version: Literal["npz", "png"] | None = None,
        levels: Literal[256, 16, 2] = 256,
        held_out: PositiveInt = 10_000,
        flip: bool = False,
        data_dir: str | None = None,
    ) -> None:
        self.version = version
        self.levels = levels
        self.held_out = held_out
        self.flip = flip
        self.data_dir = data_dir

    @property
    def spec(self) -> DataSpec:
        classes = 1000 if self._sources[0] == "npz" else 0
        return DataSpec((3, self.size, self.size), self.levels, classes)

    @property
    def regime(self) -> str:
        version = self._sources[0]
        train, test = self._content
        sizes = [len(split.x) for split in self.load().values()]
        how = treatment(f"{self.levels} levels", self.flip)
        regime = f"downsampled ImageNet of {PAPER[version]}, {how}, valid is the last {sizes[1]} of train, "
        regime += f"test is the official validation set, {'/'.join(map(str, sizes))}"
        have, official = (len(train.x), len(test.x)), OFFICIAL[version]
        return regime if have == official else f"{regime}, of {'/'.join(map(str, official))} official train/test images"

    def load(self) -> Splits:
        train, test = self._content
        return hold_out_last(min(self.held_out, max(1, len(train.x) // 10)), train, test)

    @cached_property
    def _sources(self) -> tuple[str, dict[str, list[Path]]]:
        """Version at hand, and its .npz files, .zip files of them, or folder of PNG files, by set."""
        root, s = data_root(self.data_dir), self.size
        home, sets = root / f"imagenet{s}", ("train", "valid")
        png = {name: [path for d in (home, root) if (path := d / f"{name}_{s}x{s}").is_dir()][:1] for name in sets}
        found = {"npz": _npz_files(home, root, s), "png": png}
        versions = [v for v in PAPER if any(found[v].values()) and self.version in (None, v)]
        if len(versions) > 1:
            both = f"both versions of ImageNet {s}x{s} are there, whose numbers do not compare"
            raise UserError(f"{root}: {both}; set data.version=npz or data.version=png")
        missing = [name for v in versions for name in sets if not found[v][name]]
        if missing or not versions:
            raise UserError(self._instructions(home, missing))
        return versions[0], found[versions[0]]

    def _instructions(self, home: Path, missing: list[str]) -> str:
        s = self.size
        parts = ["train", "val"] if s == 32 else ["train_part1", "train_part2", "val"]
        npz = ", ".join(f"Imagenet{s}_{part}_npz.zip" for part in parts)
        npz += " from https://image-net.org/download-images.php (log in; Download downsampled image data)"
        png = f"the folders train_{s}x{s} and valid_{s}x{s} of the PixelRNN version"
        what = {"npz": npz, "png": png, None: f"{npz}, or {png}"}[self.version]
        lacks = f"no ImageNet {s}x{s}"
        if missing:
            lacks = f"the {' and '.join(missing)} images of ImageNet {s}x{s} are missing"
        places = [home, *home.glob(f"Imagenet{s}_*"), *home.parent.glob(f"Imagenet{s}_*")]
        pickles = [path for d in places for path in d.glob("*_data*") if path.suffix == ""]
        why = f" ({pickles[0]} is a pickle, which is never loaded)" if pickles else ""
        return f"{home}: {lacks}{why}; put {what} there ({ELSEWHERE})"

    @cached_property
    def _content(self) -> tuple[Split, Split]:
        """The official training and validation images, memory-mapped."""
        version, sources = self._sources
        return self._mapped(version, "train", sources["train"]), self._mapped(version, "valid", sources["valid"])

    def _mapped(self, version: str, name: str, sources: list[Path]) -> Split:
        # A folder of a million files is known by its own time stamp: asking each of them takes minutes on some disks.
        key = fingerprint(version, self.size, [stamp(path) for path in sources])
        path = sources[0].parent / f"imagenet{self.size}-{version}-{name}-{key}.npy"
        fix = "make room, or link the files into a data folder that can be written"
        return cached_split(path, lambda: self._read(version, sources, f"imagenet{self.size} {name}"), fix)

    def _read(self, version: str, sources: list[Path], title: str) -> Blocks:
        if version == "npz":
            return _npz_blocks(sources, self.size, title)
        files = sorted(path for path in sources[0].iterdir() if path.suffix == ".png" and path.name[0] != ".")
        if not files:
            raise UserError(f"{sources[0]}: no .png files in it; unpack the archive again")
        return decoded(files, self._read_png, title)

    def _read_png(self, path: Path) -> Decoded:
        x = open_image(path, 3).pixels
        if x.shape != (3, self.size, self.size):
            raise UserError(f"{path}: {x.shape[2]}x{x.shape[1]} pixels, not {self.size}x{self.size}; move it away")
        return Decoded(x[None])


class ImageNet32(_Downsampled):
    """ImageNet at 32x32 pixels in colour: 256, 16 or 2 levels a channel; labels in the npz version; local files."""

    size = 32


class ImageNet64(_Downsampled):
    """ImageNet at 64x64 pixels in colour: 256, 16 or 2 levels a channel; labels in the npz version; local files."""

    size = 64


def _npz_files(home: Path, root: Path, size: int) -> dict[str, list[Path]]:
    """Return the batches of each set in their order, as .npz files or as .zip files that hold them."""
    found: dict[str, list[Path]] = {}
    for name, prefix, pattern in (("train", "train", "train_data_batch_*.npz"), ("valid", "val", "val_data.npz")):
        places = [home, *(path for d in (home, root) for path in d.glob(f"Imagenet{size}_{prefix}*") if path.is_dir())]
        files = {path.name: path for place in reversed(places) for path in place.glob(pattern)}
        zips = [path for d in (home, root) for path in d.glob(f"Imagenet{size}_{prefix}*npz.zip")]
        found[name] = sorted(files.values(), key=_number) or sorted({path.name: path for path in zips}.values())
    return found


def _number(path: Path | str) -> int:
    """Return the number of a batch: 10 comes after 2."""
    return int("0" + "".join(re.findall(r"\d+(?=\.npz$)", str(path))))


def _npz_blocks(sources: list[Path], size: int, title: str) -> Blocks:
    """Read the batches behind a progress bar: `data` is `(N, 3 * size**2)`, channels first, `labels` are 1..1000."""
    from tqdm import tqdm

    with tqdm(desc=title, unit=" images", disable=None) as bar:
        for source in sources:
            for where, found in _batches(source):
                if absent := {"data", "labels"} - set(found):
                    raise UserError(f"{where}: no array named '{min(absent)}'; download it again")
                x, labels = found["data"], found["labels"]
                n = len(x) if x.ndim else 0
                if x.dtype != np.uint8 or x.shape != (n, 3 * size**2) or not n:
                    raise UserError(f"{where}: 'data' is {x.dtype} of shape {x.shape}, not uint8 of (N, {3 * size**2})")
                if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > 1000:
                    raise UserError(f"{where}: 'labels' are not {n} integers from 1 to 1000; download it again")
                yield x.reshape(n, 3, size, size), labels.astype(np.int64) - 1
                bar.update(n)


def _batches(source: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Read an .npz, or one after another those in a .zip."""
    if source.suffix == ".npz":
        yield str(source), read_npz(source, ("data", "labels"))
        return
    try:
        with zipfile.ZipFile(source) as outer:
            names = sorted((name for name in outer.namelist() if name.endswith(".npz")), key=_number)
            if not names:
                raise UserError(f"{source}: no .npz files in it; download it again")
            for name in names:
                with outer.open(name) as inner:
                    yield f"{source}: {name}", read_npz(inner, ("data", "labels"), f"{source}: {name}")
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{source}: damaged or unreadable ({type(error).__name__}); download it again") from error
