"""Tiny stand-ins for published files, published as if they were them."""

import hashlib

import numpy as np
import pytest

from ar_lightning.data.datasets.mnist import MNIST, BinarizedMNIST, FashionMNIST, amat_bytes
from tests.support.files import Files, idx_gz


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Content of 12 training and 5 test images in the format of MNIST, published as if they were it."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (12, 28, 28)), np.arange(12) % 10, rng.integers(0, 256, (5, 28, 28)), np.arange(5)]
    files = {name: idx_gz(array) for name, array in zip(MNIST.md5, arrays, strict=True)}
    for data in (MNIST, FashionMNIST):
        monkeypatch.setattr(data, "md5", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
        monkeypatch.setattr(data, "held_out", 4)
    return files


@pytest.fixture
def amat(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Content of .amat files of 6, 3 and 2 images, published as if they were the real ones."""
    rng = np.random.default_rng(0)
    texts = {
        name: amat_bytes(rng.integers(0, 2, (n, 28, 28))) for name, n in {"train": 6, "valid": 3, "test": 2}.items()
    }
    monkeypatch.setattr(BinarizedMNIST, "sha256", {name: hashlib.sha256(t).hexdigest() for name, t in texts.items()})
    return {f"binarized_mnist_{name}.amat": text for name, text in texts.items()}
