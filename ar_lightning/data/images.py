"""What datasets of images share, scikit-learn's digits (bundled) and the fixed binarisation of MNIST."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits, read_npz, shuffled
from ar_lightning.data.download import data_root, obtain

if TYPE_CHECKING:
    import torch

Values = TypeVar("Values", "torch.Tensor", np.ndarray)

__all__ = [
    "BinarizedMNIST",
    "Digits",
    "EightBitImages",
    "Images",
    "amat_bytes",
    "flipped",
    "quantised",
    "read_amat",
    "treatment",
]


class Images(Dataset):
    """Images, whose training batches are mirrored at random where `flip` is set."""

    flip: bool

    def augment(self, x: "torch.Tensor") -> "torch.Tensor":
        """Flip the images of a training batch at random, where asked to."""
        return flipped(x) if self.flip else x


class EightBitImages(Images):
    """Images that are stored on 256 levels, and quantised to `levels` a batch at a time."""

    levels: int

    def values(self, x: "torch.Tensor") -> "torch.Tensor":
        """Quantise a batch."""
        return quantised(x, self.levels)


class Digits(Images):
    """8x8 handwritten digits bundled with scikit-learn: 1797 images, labels, no download.

    Args:
        levels: 17 grey levels as they come, or 2: ink above half.
        size: 8 pixels a side, or 4: means of 2x2 blocks, rounded to the nearest level.
        flip: mirror training images left to right at random, each with probability 1/2.
    """

    def __init__(self, *, levels: Literal[17, 2] = 17, size: Literal[8, 4] = 8, flip: bool = False) -> None:
        self.levels = levels
        self.size = size
        self.flip = flip

    @property
    def spec(self) -> DataSpec:
        """Shape, support and number of classes; reads nothing."""
        return DataSpec((1, self.size, self.size), self.levels, classes=10)

    @property
    def regime(self) -> str:
        """The split; there are no published numbers."""
        how = treatment(f"{self.levels} levels", self.flip)
        return f"scikit-learn digits, {self.size}x{self.size}, {how}, seeded split 1437/180/180"

    def load(self) -> Splits:
        """Return the three splits of a fixed shuffle."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        block = 8 // self.size
        sums = digits.images.astype(np.int64).reshape(-1, self.size, block, self.size, block).sum(axis=(2, 4))
        n = block**2
        x = (2 * sums + n) // (2 * n) if self.levels == 17 else sums > 8 * n  # the nearest level; ink above half of 16
        parts = np.split(shuffled(len(x), seed=0), [1437, 1617])
        x, labels = x[:, None].astype(np.uint8), digits.target.astype(np.int64)
        return {name: Split(x[index], labels[index]) for name, index in zip(SPLITS, parts, strict=True)}


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
        """Shape and support; reads nothing."""
        return DataSpec((1, 28, 28), levels=2)

    @property
    def regime(self) -> str:
        """The binarisation and split of published numbers."""
        return f"{treatment('fixed binarisation (Larochelle split)', self.flip)}, 50000/10000/10000"

    def load(self) -> Splits:
        """Return the three splits, from `binarized_mnist.npz`, else from the .amat files it is then made from.

        Raises:
            UserError: the files are not the published ones, or cannot be had.
        """
        root = data_root(self.data_dir)
        cache = root / "binarized_mnist.npz"
        if cache.is_file():
            bits = read_npz(cache, SPLITS)
            for name in SPLITS:
                # Hashing the text that the bits stand for takes 0.1 s, and a published number hangs on these bits.
                is_image = name in bits and bits[name].shape[1:] == (28, 28)
                if not is_image or hashlib.sha256(amat_bytes(bits[name])).hexdigest() != self.sha256[name]:
                    raise UserError(f"{cache}: '{name}' is not the published fixed binarisation; delete the file")
        else:
            known = {f"binarized_mnist_{name}.amat": f"sha256:{self.sha256[name]}" for name in SPLITS}
            paths = obtain(known, self.base_url, root)
            bits = {name: read_amat(paths[f"binarized_mnist_{name}.amat"]) for name in SPLITS}
            with suppress(OSError):  # the cache only saves time: a read-only folder is no reason to stop
                _save_npz(cache, bits)
        return {name: Split(bits[name].reshape(-1, 1, 28, 28).astype(np.uint8, copy=False)) for name in SPLITS}


def quantised(x: Values, levels: int) -> Values:
    """Return 8-bit values quantised uniformly, such as 0..15 for 16 levels."""
    return x if levels == 256 else x // (256 // levels)


def flipped(x: "torch.Tensor") -> "torch.Tensor":
    """Mirror each image of a batch `(B, C, H, W)` left to right with probability 1/2, from torch's global generator."""
    import torch

    return torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)


def treatment(values: str, flip: bool) -> str:
    """Return how the pixels are treated, as a `regime` says it."""
    return f"{values}, random flips of train" if flip else values


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


def _save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}.npz")
    try:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
