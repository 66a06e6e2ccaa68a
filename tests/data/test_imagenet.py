"""Downsampled ImageNet: both versions, in every form they come in, on tiny stand-ins."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data import cache
from ar_lightning.data.base import SPLITS, Splits
from ar_lightning.data.datasets import imagenet
from ar_lightning.data.datasets.imagenet import ImageNet32, ImageNet64
from ar_lightning.data.module import ArrayDataModule
from tests.support.files import one_line

BATCHES = (1, 2, 10)  # 10 sorts before 2 as text


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK", 3)


def pixels(n: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def put_npz(folder: Path, size: int = 32, sets: str = "train val", **changes: Any) -> None:
    """Three batches of seven training images, and five validation images; labels count from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {f"train_data_batch_{i}": (7, i) for i in BATCHES} if "train" in sets else {}
    for name, (n, seed) in {**parts, **({"val_data": (5, 99)} if "val" in sets else {})}.items():
        content = {"data": pixels(n, size, seed).reshape(n, -1), "labels": np.arange(n) + seed, "mean": np.zeros(3)}
        save = np.savez_compressed if seed == 2 else np.savez
        save(folder / f"{name}.npz", **{k: v for k, v in (content | changes).items() if v is not None})


def put_zip(path: Path, folder: Path, pattern: str, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.glob(pattern)):
            archive.write(file, f"inside/{file.name}")


def put_png(root: Path, size: int = 32) -> None:
    for name, n, seed in (("train", 21, 1), ("valid", 5, 99)):
        folder = root / f"{name}_{size}x{size}"
        folder.mkdir(parents=True)
        for i, x in enumerate(pixels(n, size, seed)):
            Image.fromarray(x.transpose(1, 2, 0)).save(folder / f"{i:07}.png")


def check(splits: Splits, train: np.ndarray, size: int, labels: list[int] | None) -> None:
    held = len(train) // 10
    expected = [train[:-held], train[-held:], pixels(5, size, 99)]
    for name, x in zip(SPLITS, expected, strict=True):
        assert isinstance(splits[name].x, np.memmap)
        np.testing.assert_array_equal(splits[name].x, x)
    found = [y.tolist() for s in SPLITS if (y := splits[s].labels) is not None]
    assert found == ([] if labels is None else [labels[:-held], labels[-held:], list(range(98, 103))])


LABELS = [k + i - 1 for i in BATCHES for k in range(7)]


@pytest.mark.parametrize("form", ["files", "folders", "folders of the root", "zip", "zips of the root"])
@pytest.mark.parametrize("data", [ImageNet32, ImageNet64])
def test_npz_batches_in_every_form(tmp_path: Path, form: str, data: type[ImageNet32]) -> None:
    size, home, aside = data.size, tmp_path / f"imagenet{data.size}", tmp_path / "aside"
    match form:
        case "files":
            put_npz(home, size)
        case "folders" | "folders of the root":
            parent = home if form == "folders" else tmp_path
            put_npz(parent / f"Imagenet{size}_train_npz", size, "train")
            put_npz(parent / f"Imagenet{size}_val_npz", size, "val")
        case _:
            parent = home if form == "zip" else tmp_path
            parent.mkdir(exist_ok=True)
            put_npz(aside, size)
            method = zipfile.ZIP_STORED if form == "zip" else zipfile.ZIP_DEFLATED
            if form == "zip":
                put_zip(parent / f"Imagenet{size}_train_npz.zip", aside, "train*", method)
            else:
                put_zip(parent / f"Imagenet{size}_train_part1_npz.zip", aside, "train*_[12].npz", method)
                put_zip(parent / f"Imagenet{size}_train_part2_npz.zip", aside, "train*_10.npz", method)
            put_zip(parent / f"Imagenet{size}_val_npz.zip", aside, "val*", method)
    made = data(data_dir=str(tmp_path))
    assert made.spec == DataSpec((3, size, size), 256, 1000)
    check(made.load(), np.concatenate([pixels(7, size, i) for i in BATCHES]), size, LABELS)
    assert "Chrabaszcz" in made.regime
    assert "last 2 of train" in made.regime and "19/2/5, of 1281167/50000 official" in made.regime


@pytest.mark.parametrize("home", ["imagenet32", "."])
def test_png_folders(tmp_path: Path, home: str) -> None:
    put_png(tmp_path / home)
    data = ImageNet32(data_dir=str(tmp_path))
    assert data.spec == DataSpec((3, 32, 32), 256, 0)
    check(data.load(), pixels(21, 32, 1), 32, None)
    assert "van den Oord" in data.regime and "19/2/5, of 1281149/49999 official" in data.regime


def test_images_are_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_npz(tmp_path / "imagenet32")
    first = ImageNet32(data_dir=str(tmp_path)).load()
    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "_npz_blocks", None)
        again = ImageNet32(levels=2, flip=True, held_out=1, data_dir=str(tmp_path)).load()
    assert len(again["train"].x) == 20 and (again["train"].x[:19] == first["train"].x).all()
    (tmp_path / "imagenet32" / "train_data_batch_2.npz").unlink()  # other files are other data
    assert len(ImageNet32(data_dir=str(tmp_path)).load()["train"].x) == 13


def test_batches_are_quantised_and_the_map_is_left_alone(tmp_path: Path) -> None:
    put_png(tmp_path)
    data = ImageNet32(levels=16, data_dir=str(tmp_path))
    made = ArrayDataModule(data, batch_size=4)
    x, labels = next(iter(made.test_dataloader()))
    assert torch.equal(x, torch.from_numpy(pixels(5, 32, 99)[:4]).long() // 16) and labels is None
    assert isinstance(data.load()["test"].x, np.memmap) and data.load()["test"].x.max() > 200
    assert "16 levels" in data.regime


def error_of(folder: Path, data: type[ImageNet32] = ImageNet32, **args: Any) -> str:
    with pytest.raises(UserError) as info:
        data(data_dir=str(folder), **args).load()
    return one_line(info)


@pytest.mark.parametrize("data", [ImageNet32, ImageNet64])
def test_without_files_the_error_says_what_to_put_where(tmp_path: Path, data: type[ImageNet32]) -> None:
    with pytest.raises(UserError) as info:
        data(data_dir=str(tmp_path)).spec  # noqa: B018
    message, s = one_line(info), data.size
    for part in (f"{tmp_path}/imagenet{s}: no", f"Imagenet{s}_val_npz.zip", "image-net.org", f"train_{s}x{s}"):
        assert part in message
    assert (f"Imagenet{s}_train_npz.zip" in message) == (s == 32)
    assert ("Imagenet64_train_part1_npz.zip, Imagenet64_train_part2_npz.zip" in message) == (s == 64)
    assert "train_32x32" not in error_of(tmp_path, version="npz")
    assert "npz" not in error_of(tmp_path, version="png")


def test_what_is_half_there_is_said(tmp_path: Path) -> None:
    put_npz(tmp_path / "imagenet32", sets="train")
    assert "the valid images of ImageNet 32x32 are missing" in error_of(tmp_path)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "Imagenet32_train").mkdir()
    (tmp_path / "Imagenet32_train" / "train_data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    message = error_of(tmp_path)
    assert "train_data_batch_1 is a pickle, which is never loaded" in message and "_npz.zip" in message


def test_two_versions_are_not_mixed(tmp_path: Path) -> None:
    put_npz(tmp_path / "imagenet32")
    put_png(tmp_path / "imagenet32")
    assert "data.version=npz or data.version=png" in error_of(tmp_path)
    assert ImageNet32(version="png", data_dir=str(tmp_path)).spec.classes == 0
    assert ImageNet32(version="npz", data_dir=str(tmp_path)).spec.classes == 1000


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"data": None}, "no array named 'data'"),
    "no labels": ({"labels": None}, "no array named 'labels'"),
    "size": ({"data": np.zeros((7, 3 * 64**2), np.uint8)}, "not uint8 of (N, 3072)"),
    "type": ({"data": np.zeros((7, 3072))}, "'data' is float64"),
    "shape": ({"data": np.uint8(1)}, "'data' is uint8 of shape ()"),
    "empty": ({"data": np.zeros((0, 3072), np.uint8)}, "'data' is uint8 of shape (0, 3072)"),
    "objects": ({"data": np.array([{}] * 7, dtype=object)}, "pickled objects, which are never loaded"),
    "label objects": ({"labels": np.array([{}] * 7, dtype=object)}, "pickled objects, which are never loaded"),
    "label range": ({"labels": np.zeros(7, int)}, "integers from 1 to 1000"),
    "label count": ({"labels": np.ones(6, int)}, "not 7 integers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_batches_are_answered_in_one_line(tmp_path: Path, case: str) -> None:
    changes, complaint = BAD[case]
    home = tmp_path / "imagenet32"
    put_npz(home)
    put_npz(home, sets="train", **changes)
    message = error_of(tmp_path)
    assert complaint in message and str(home / "train_data_batch_1.npz") in message
    assert not list(home.glob("*.npy")) and not list(home.glob(".*"))


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "flipped"])
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_files_are_answered_in_one_line(tmp_path: Path, kind: str, zipped: bool) -> None:
    home = tmp_path / "imagenet32"
    put_npz(home)
    path = home / "train_data_batch_1.npz"
    whole = path.read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 255]) + whole[5001:]
    path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-3000], "flipped": flipped}[kind])
    if zipped:
        put_zip(home / "Imagenet32_train_npz.zip", home, "train*.npz", zipfile.ZIP_STORED)
        for file in home.glob("train*"):
            file.unlink()
    message = error_of(tmp_path)
    assert ("Imagenet32_train_npz.zip" if zipped else str(path)) in message and "download it again" in message


def test_a_zip_of_pickles_under_the_wrong_name(tmp_path: Path) -> None:
    home = tmp_path / "imagenet32"
    put_npz(home, sets="val")
    put_zip(home / "Imagenet32_train_npz.zip", home, "nothing", zipfile.ZIP_STORED)
    assert "no .npz files in it" in error_of(tmp_path)


def test_bad_png_folders_are_answered_in_one_line(tmp_path: Path) -> None:
    put_png(tmp_path)
    folder = tmp_path / "train_32x32"
    Image.new("RGB", (32, 30)).save(folder / "0000003.png")
    assert f"{folder / '0000003.png'}: 32x30 pixels, not 32x32" in error_of(tmp_path)
    (folder / "0000003.png").write_bytes(b"hello")
    assert str(folder / "0000003.png") in error_of(tmp_path)
    for file in folder.iterdir():
        file.unlink()
    assert "no .png files" in error_of(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(30, "Read-only file system")

    put_png(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse)
    assert "Read-only file system" in (message := error_of(tmp_path)) and "link the files" in message
