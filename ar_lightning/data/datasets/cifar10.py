"""CIFAR-10, from its binary version or an .npz of the same images."""

import hashlib
import tarfile
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Split, Splits, hold_out_last
from ar_lightning.data.download import data_root, obtain
from ar_lightning.data.images import EightBitImages, treatment
from ar_lightning.data.npz_file import read_npz

__all__ = ["CIFAR10"]


class CIFAR10(EightBitImages):
    """Small photographs of ten kinds of things, 32x32 in colour: 256, 16 or 2 levels a channel; labels.

    Published densities train on all 50000 training images and report the test images. Here the last `held_out` of the
    training images choose the checkpoint. Source: Krizhevsky 2009.

    In the data folder are looked for, in this order: `cifar10.npz` (`train_images`, `train_labels`, `test_images`,
    `test_labels`, images channels last), the folder `cifar-10-batches-bin`, and `cifar-10-binary.tar.gz`, which is
    downloaded. All hold the images in their published order.

    Args:
        levels: levels a channel of a pixel is quantised to.
        held_out: number of training images in the validation split.
        flip: mirror training images left to right at random, each with probability 1/2.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    base_url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/"
    archive: ClassVar[dict[str, str]] = {
        "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    }
    folder: ClassVar[str] = "cifar-10-batches-bin"
    sha256: ClassVar[dict[str, str]] = {  # of the files in the archive: records of a label and 3x32x32 bytes
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    }
    batch: ClassVar[int] = 10_000  # images in each of these files

    def __init__(
        self,
        *,
        levels: Literal[256, 16, 2] = 256,
        held_out: PositiveInt = 5000,
        flip: bool = False,
        data_dir: str | None = None,
    ) -> None:
        self.levels = levels
        self.held_out = held_out
        self.flip = flip
        self.data_dir = data_dir
        if held_out >= (n := 5 * self.batch):
            raise UserError(f"data.held_out={held_out} leaves nothing of the {n} training images; hold out fewer")

    @property
    def spec(self) -> DataSpec:
        return DataSpec((3, 32, 32), self.levels, classes=10)

    @property
    def regime(self) -> str:
        splits = self.load()
        sizes = [len(splits[name].x) for name in SPLITS]
        part = "" if sizes[2] == self.batch else f", test is the first {sizes[2]} of {self.batch} official images"
        how = treatment(f"{self.levels} levels", self.flip)
        return f"{how}, valid is the last {self.held_out} of train, {'/'.join(map(str, sizes))}{part}"

    def load(self) -> Splits:
        return hold_out_last(self.held_out, *self._content)

    @cached_property
    def _content(self) -> tuple[Split, Split]:
        """All training images, and the test images at hand."""
        root = data_root(self.data_dir)
        npz, folder = root / "cifar10.npz", root / self.folder
        if npz.is_file():
            files = self._from_npz(npz)
        elif all((folder / name).is_file() for name in self.sha256):
            files = [path.read_bytes() for path in obtain(self.sha256, self.base_url, folder).values()]
        else:
            (path,) = obtain(self.archive, self.base_url, root).values()
            with tarfile.open(path) as archive:
                members = (archive.extractfile(f"{self.folder}/{name}") for name in self.sha256)
                files = [member.read() for member in members if member is not None]
        records = np.frombuffer(b"".join(files), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        every = Split(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64))
        cut = 5 * self.batch
        return every.at(slice(cut)), every.at(slice(cut, None))

    def _from_npz(self, path: Path) -> list[bytes]:
        """Read an .npz as the files of the binary version, and check their sums; its test images may be fewer."""
        found = read_npz(path)
        fix = "put that there, or move this file to another folder, and the images are downloaded"
        files: list[bytes] = []
        for name, most in (("train", 5 * self.batch), ("test", self.batch)):
            keys = f"{name}_images", f"{name}_labels"
            if absent := [key for key in keys if key not in found]:
                raise UserError(f"{path}: no array named '{absent[0]}' (it holds {', '.join(sorted(found))}); {fix}")
            x, y = (found[key] for key in keys)
            n = most if name == "train" else max(1, min([most, *x.shape[:1]]))
            for key, shape, kinds in zip(keys, ((n, 32, 32, 3), (n,)), ("u", "iu"), strict=True):
                if (a := found[key]).shape != shape or a.dtype.kind not in kinds or a.max() > 255:
                    raise UserError(f"{path}: '{key}' is {a.dtype} of shape {a.shape}, not bytes of {shape}; {fix}")
            records = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(n, -1)], axis=1).astype(np.uint8)
            files += [records[i : i + self.batch].tobytes() for i in range(0, n, self.batch)]
        for i, (file, digest) in enumerate(zip(files, self.sha256.values(), strict=True)):
            # Part of the test images has no published checksum.
            if len(file) == len(files[0]) and hashlib.sha256(file).hexdigest() != digest:
                start = i * self.batch
                where = "test images" if i == 5 else f"training images {start} to {start + self.batch - 1}"
                raise UserError(f"{path}: {where} are not the published ones in their order; {fix}")
        return files
