"""MNIST: its idx files, grey, quantised or binarised, and its fixed binarisation; Fashion-MNIST."""

import gzip
import hashlib
import zlib
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.levels import quantised
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Split, Splits, hold_out_last
from ar_lightning.data.download import data_root, obtain
from ar_lightning.data.images import Images, treatment
from ar_lightning.data.npz_file import read_npz

if TYPE_CHECKING:
    import torch

__all__ = ["MNIST", "BinarizedMNIST", "FashionMNIST", "amat_bytes", "read_amat", "read_idx"]


class _IdxImages(Images):
    """The four idx files of MNIST and its drop-in replacements, `(N, 1, 28, 28)` with 10 classes.

    Args:
        levels: grey levels a pixel is quantised to.
        binarize: dynamic draws training pixels anew at each access, 1 with probability grey / 255; threshold is
            grey > 127.
        flip: mirror training images left to right at random, each with probability 1/2.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    base_url: ClassVar[str]
    folder: ClassVar[str]
    md5: ClassVar[dict[str, str]]
    held_out: ClassVar[int] = 10_000  # the last of the 60000 training images are the validation split

    def __init__(
        self,
        *,
        levels: Literal[256, 16, 2] = 256,
        binarize: Literal["dynamic", "threshold"] | None = None,
        flip: bool = False,
        data_dir: str | None = None,
    ) -> None:
        if binarize is not None and levels == 16:
            raise UserError(
                f"data.levels=16 contradicts data.binarize={binarize}, which has 2 levels; drop one of them"
            )
        self.levels = levels if binarize is None else 2
        self.binarize = binarize
        self.flip = flip
        self.data_dir = data_dir

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1, 28, 28), self.levels, classes=10)

    @property
    def regime(self) -> str:
        how = {
            None: f"{self.levels} grey levels",
            "dynamic": "dynamic binarisation (train drawn anew at each access, valid and test drawn once)",
            "threshold": "binarised at grey > 127",
        }[self.binarize]
        return f"{treatment(how, self.flip)}, valid is the last 10000 of train, 50000/10000/10000"

    def load(self) -> Splits:
        """Return the three splits; dynamic binarisation leaves training images grey."""
        root = data_root(self.data_dir)
        paths = obtain(self.md5, self.base_url, root / self.folder, root)
        images, labels, test_images, test_labels = (read_idx(paths[name]) for name in self.md5)
        train = Split(images[:, None], labels.astype(np.int64))
        splits = hold_out_last(self.held_out, train, Split(test_images[:, None], test_labels.astype(np.int64)))
        return {name: replace(split, x=self._values(split.x, name)) for name, split in splits.items()}

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        """Draw each pixel with probability grey / 255 if binarisation is dynamic, then flip."""
        if self.binarize == "dynamic":
            import torch

            x = (torch.rand(x.shape, device=x.device) * 255 < x).to(x.dtype)
        return super().augment(x)

    def _values(self, grey: np.ndarray, split: str) -> np.ndarray:
        if self.binarize == "dynamic":
            if split == "train":
                return grey
            uniform = np.random.RandomState(SPLITS.index(split)).random_sample(grey.shape)
            return (uniform * 255 < grey).astype(np.uint8)
        return quantised(grey, self.levels)  # for 2 levels this is grey > 127


class MNIST(_IdxImages):
    """Handwritten digits, 28x28: 256, 16 or 2 grey levels, or binarised dynamically; labels."""

    base_url = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    folder = "MNIST/raw"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }


class FashionMNIST(_IdxImages):
    """Articles of clothing, 28x28, a drop-in for MNIST: 256, 16 or 2 grey levels, or binarised; labels."""

    base_url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    folder = "FashionMNIST/raw"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


class BinarizedMNIST(Images):
    """MNIST with the fixed binarisation of Larochelle, the benchmark of NADE, MADE and DARN; no labels.

    The test file is sorted by class. Source: Salakhutdinov & Murray 2008; Larochelle & Murray 2011.

    Args:
        flip: mirror training images left to right at random, each with probability 1/2.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    base_url: ClassVar[str] = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
    sha256: ClassVar[dict[str, str]] = {  # of the .amat text
        "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    }

    def __init__(self, *, flip: bool = False, data_dir: str | None = None) -> None:
        self.flip = flip
        self.data_dir = data_dir

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1, 28, 28), levels=2)

    @property
    def regime(self) -> str:
        return f"{treatment('fixed binarisation (Larochelle split)', self.flip)}, 50000/10000/10000"

    def load(self) -> Splits:
        """Return the three splits, from `binarized_mnist.npz` if it is there, else from the .amat files."""
        root = data_root(self.data_dir)
        npz = root / "binarized_mnist.npz"
        if npz.is_file():
            bits = read_npz(npz, SPLITS)
            fix = "put that there, or move this file to another folder, and the published ones are downloaded"
            for name in SPLITS:
                # Hashing the text that the bits stand for takes 0.1 s, and a published number hangs on these bits.
                is_image = name in bits and bits[name].shape[1:] == (28, 28)
                if not is_image or hashlib.sha256(amat_bytes(bits[name])).hexdigest() != self.sha256[name]:
                    raise UserError(f"{npz}: '{name}' is not the published fixed binarisation; {fix}")
        else:
            known = {f"binarized_mnist_{name}.amat": self.sha256[name] for name in SPLITS}
            paths = obtain(known, self.base_url, root)
            bits = {name: read_amat(paths[f"binarized_mnist_{name}.amat"]) for name in SPLITS}
        return {name: Split(bits[name].reshape(-1, 1, 28, 28).astype(np.uint8, copy=False)) for name in SPLITS}


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped idx file of unsigned bytes into an array of the shape in its header."""
    again = "put the published file in its place"
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or damaged ({type(error).__name__}); {again}") from error
    if raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise UserError(f"{path}: not an idx file of unsigned bytes; {again}")
    start = 4 + 4 * raw[3]  # magic number, then one big-endian size per dimension
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    if len(raw) - start != prod(shape):
        raise UserError(f"{path}: {len(raw) - start} values where its header says {shape}; {again}")
    return np.frombuffer(bytearray(raw), np.uint8, offset=start).reshape(shape)  # bytearray: tensors must be writable


def read_amat(path: Path) -> np.ndarray:
    """Read lines of 784 bits separated by spaces into `(N, 28, 28)` uint8."""
    return (np.frombuffer(path.read_bytes(), np.uint8)[::2] - ord("0")).reshape(-1, 28, 28)


def amat_bytes(bits: np.ndarray) -> bytes:
    """Write `(N, 28, 28)` bits as .amat text, the inverse of `read_amat`."""
    rows = bits.reshape(-1, 784).astype(np.uint8)
    text = np.full((len(rows), 2 * rows.shape[1]), ord(" "), np.uint8)
    text[:, ::2] = rows + ord("0")
    text[:, -1] = ord("\n")
    return text.tobytes()
