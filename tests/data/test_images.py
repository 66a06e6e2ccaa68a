"""Digits and binarised MNIST: published bits and splits; what every dataset of images shares."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.config.registry import DATA, find
from ar_lightning.config.schema import schema_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.levels import quantised
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset
from ar_lightning.data.datasets.digits import Digits
from ar_lightning.data.datasets.mnist import BinarizedMNIST, amat_bytes, read_amat
from ar_lightning.data.images import flipped
from tests.support.files import Files, one_line, put, real_data


@pytest.mark.parametrize("name", DATA)
def test_every_dataset_documents_its_arguments(name: str) -> None:
    schema = schema_of(DATA[name])
    assert schema.summary and schema.fields
    assert all(field.doc for field in schema.fields.values())


@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("levels", [17, 2])
def test_digits_are_what_the_spec_says(levels: int, size: int) -> None:
    data: Dataset = Digits(levels=levels, size=size)  # type: ignore[arg-type]
    splits = data.load()
    assert data.spec == DataSpec((1, size, size), levels, 10)
    assert [len(splits[s].x) for s in SPLITS] == [1437, 180, 180]
    x = np.concatenate([s.x for s in splits.values()])
    assert x.shape == (1797, 1, size, size) and x.dtype == np.uint8
    assert set(np.unique(x)) == set(range(levels))
    assert 0.2 < x.mean() / (levels - 1) < 0.4
    assert all(set(s.labels) == set(range(10)) for s in splits.values() if s.labels is not None)


def test_digits_splits_are_disjoint_complete_and_fixed() -> None:
    from sklearn.datasets import load_digits

    first = Digits().load()
    rows = [row.tobytes() for split in first.values() for row in split.x]
    assert sorted(rows) == sorted(row.tobytes() for row in load_digits().images.astype(np.uint8))
    np.random.seed(3)
    torch.manual_seed(3)
    again = Digits().load()
    assert all((first[s].x == again[s].x).all() for s in SPLITS)
    labels = first["test"].labels
    assert labels is not None and labels[:8].tolist() == [8, 6, 1, 7, 4, 1, 4, 7]


def test_small_digits_are_block_means() -> None:
    big, small = (Digits(size=size).load()["valid"].x[:, 0].astype(float) for size in (8, 4))  # type: ignore[arg-type]
    means = (big[:, ::2, ::2] + big[:, 1::2, ::2] + big[:, ::2, 1::2] + big[:, 1::2, 1::2]) / 4
    assert np.abs(means - small).max() <= 0.5
    np.testing.assert_array_equal(Digits(size=4, levels=2).load()["valid"].x[:, 0], means > 8)


def test_amat_round_trip(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 28, 28))
    text = amat_bytes(bits)
    np.testing.assert_array_equal(np.loadtxt(text.decode().splitlines()).reshape(3, 28, 28), bits)
    (tmp_path / "x.amat").write_bytes(text)
    np.testing.assert_array_equal(read_amat(tmp_path / "x.amat"), bits)


def test_binarized_mnist_is_read_from_its_amat_files_or_an_npz_of_them(tmp_path: Path, amat: Files) -> None:
    put(tmp_path, amat)
    data = BinarizedMNIST(data_dir=str(tmp_path))
    first = data.load()
    assert [first[s].x.shape for s in SPLITS] == [(n, 1, 28, 28) for n in (6, 3, 2)]
    np.savez(tmp_path / "binarized_mnist.npz", **{s: first[s].x[:, 0] for s in SPLITS})  # type: ignore[arg-type]
    for name in amat:
        (tmp_path / name).unlink()
    again = data.load()
    assert all((first[s].x == again[s].x).all() and again[s].labels is None for s in SPLITS)


def test_an_npz_of_other_bits_is_refused(tmp_path: Path, amat: Files) -> None:
    put(tmp_path, amat)
    bits = {name: split.x[:, 0].copy() for name, split in BinarizedMNIST(data_dir=str(tmp_path)).load().items()}
    bits["valid"][1, 2, 3] ^= 1
    np.savez(tmp_path / "binarized_mnist.npz", **bits)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'valid' is not the published") as info:
        BinarizedMNIST(data_dir=str(tmp_path)).load()
    one_line(info)


@real_data
def test_real_binarized_mnist() -> None:
    splits = BinarizedMNIST().load()
    assert [splits[s].x.shape for s in SPLITS] == [(n, 1, 28, 28) for n in (50000, 10000, 10000)]
    assert all(set(np.unique(splits[s].x)) == {0, 1} for s in SPLITS)


def test_quantisation_is_uniform_and_keeps_the_order() -> None:
    x = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantised(x, 256), x)
    for levels in (16, 2):
        q = quantised(x, levels)
        assert q.dtype == torch.uint8 and (q.diff().int() >= 0).all()
        assert q.bincount().tolist() == [256 // levels] * levels


def test_half_of_the_images_are_flipped_whole_by_torchs_generator() -> None:
    x = torch.arange(12, dtype=torch.uint8).view(1, 2, 2, 3).expand(2000, 2, 2, 3).contiguous()
    torch.manual_seed(0)
    y = flipped(x)
    same, mirrored = (y == x).flatten(1).all(1), (y == x[..., [2, 1, 0]]).flatten(1).all(1)
    assert (same ^ mirrored).all() and y.dtype == x.dtype
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.04)
    assert not torch.equal(flipped(x), y)
    torch.manual_seed(0)
    assert torch.equal(flipped(x), y)


IMAGES = sorted(name for name in DATA if name != "npz" and "flip" in schema_of(DATA[name]).fields)


@pytest.mark.parametrize("name", IMAGES)
def test_every_dataset_of_images_flips_where_asked_and_says_so(name: str, tmp_path: Path) -> None:
    given = {"path": str(tmp_path)} if name == "image_folder" else {}
    plain, flipping = (find("data", name)(**given, flip=flip) for flip in (False, True))
    x = torch.randint(0, 2, (64, 1, 4, 4), dtype=torch.uint8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert torch.equal(plain.augment(x), x) and torch.equal(torch.get_rng_state(), before)
    moved = (flipping.augment(x) != x).flatten(1).any(1)
    assert 10 < moved.sum() < 54
    assert torch.equal(flipping.values(x), plain.values(x))
    if name in ("digits", "mnist", "binarized_mnist"):
        assert "flips" in flipping.regime and "flips" not in plain.regime
