"""Folders of images: what is read from where, how it is resized and split, and what each mistake is told."""

import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data import cache, download
from ar_lightning.data.base import SPLITS
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.image_folder import ImageFolder
from tests.support.files import one_line


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the decoded images are kept."""
    monkeypatch.setenv(download.ENVIRONMENT, str(tmp_path / "kept"))
    return tmp_path / "kept" / "image_folder"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def put(folder: Path, *names: str, size: tuple[int, int] = (4, 4)) -> None:
    """Blank images whose colour tells them apart: the first is `(0, 0, 7)`, the second `(1, 0, 7)`."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i, 0, 7)).save(folder / name)


def made(folder: Path, **args: Any) -> ImageFolder:
    return ImageFolder(path=str(folder), **{"size": 4, **args})


def numbers(data: ImageFolder) -> list[list[int]]:
    return [data.load()[split].x[:, 0, 0, 0].tolist() for split in SPLITS]


def test_missing_splits_are_held_out_of_all_files(folder: Path) -> None:
    put(folder, *(f"{i:02}.png" for i in range(30)))
    data = made(folder)
    parts = numbers(data)
    assert data.spec == DataSpec((3, 4, 4), 256) and [len(part) for part in parts] == [24, 3, 3]
    assert sorted(chain(*parts)) == list(range(30)) and all(part == sorted(part) for part in parts)
    assert numbers(made(folder)) == parts != numbers(made(folder, split_seed=1))
    expected = (
        "mine, 4x4 colour (central squares, area means), 256 levels, valid and test held out of train with seed 0"
    )
    assert data.regime == f"{expected}, 24/3/3"


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_folders_of_splits_are_kept(folder: Path, valid: str) -> None:
    names = [f"{split}/{i}.png" for split in ("train", valid, "test") for i in range(3)]
    put(folder, *names, "other/x.png", "x.png")
    data = made(folder)
    assert numbers(data) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] and data.spec.classes == 0
    assert "its splits, 3/3/3" in data.regime


def test_one_missing_split_is_held_out(folder: Path) -> None:
    put(folder, *(f"train/{i:02}.png" for i in range(10)), "test/a.png")
    train, valid, test = numbers(made(folder))
    assert len(train) == 9 and sorted(train + valid) == list(range(10)) and test == [10]


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_first_folders_are_classes(folder: Path, prefix: str) -> None:
    names = [f"{prefix}{name}/{deep}{i}.png" for i in range(10) for name, deep in (("b", ""), ("a", "x/y/"), ("c", ""))]
    put(folder, *names)
    data = made(folder)
    assert data.spec.classes == 3
    for split in data.load().values():
        assert split.labels is not None and split.labels.dtype == np.int64
        assert split.labels.tolist() == [(1, 0, 2)[i % 3] for i in split.x[:, 0, 0, 0].tolist()]


@pytest.mark.parametrize("names", [("a/1.png", "b/1.png", "1.png"), ("a/1.png", "a/2.png", "a/3.png")])
def test_no_classes_where_an_image_has_none_or_all_have_the_same(folder: Path, names: tuple[str, ...]) -> None:
    put(folder, *names)
    data = made(folder)
    assert data.spec.classes == 0 and all(split.labels is None for split in data.load().values())


def test_hidden_and_other_files_are_left_out_and_links_followed(folder: Path, tmp_path: Path) -> None:
    put(folder, *(f"{i}.png" for i in range(3)), "._0.png", ".trash/x.png")
    (folder / "readme.txt").write_text("hello")
    put(tmp_path / "elsewhere", "x.JPG", "y.webp")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert sum(map(len, numbers(made(folder)))) == 5


def test_images_of_the_size_asked_for_are_unchanged(folder: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    folder.mkdir()
    for i, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    splits = made(folder, size=6).load()
    found = np.concatenate([splits[s].x for s in SPLITS])
    assert sorted(y.tobytes() for y in found) == sorted(y.transpose(2, 0, 1).tobytes() for y in x)


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_is_cut_out_and_shrunk_by_area_means(folder: Path, turned: bool) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 14), dtype=np.uint8)  # cut to columns 3 to 10
    folder.mkdir()
    for i in range(3):
        Image.fromarray(x.T if turned else x).save(folder / f"{i}.png")
    means = x[:, 3:11].reshape(4, 2, 4, 2).mean((1, 3))
    found = made(folder, channels=1).load()["test"].x[0, 0].astype(float)
    assert np.abs((found.T if turned else found) - means).max() <= 1  # Pillow rounds rows, then columns


def test_small_images_are_enlarged(folder: Path) -> None:
    put(folder, "a.png", "b.png", "c.png", size=(2, 3))
    assert made(folder, size=16).load()["train"].x.shape == (1, 3, 16, 16)


def test_grey_levels_and_batches(folder: Path) -> None:
    put(folder, *(f"{i}.png" for i in range(3)))
    Image.new("RGB", (4, 4), (200, 200, 200)).save(folder / "3.png")
    assert made(folder).load()["test"].x.shape == (1, 3, 4, 4)
    data = made(folder, channels=1, levels=16)
    assert data.spec == DataSpec((1, 4, 4), 16) and "grey" in data.regime and "16 levels" in data.regime
    module = ArrayDataModule(data)
    x = torch.cat([module.split(split)[0] for split in SPLITS])
    assert x.shape == (4, 1, 4, 4) and x.unique().tolist() == [0, 12]


def test_decoded_images_are_kept_until_a_file_changes(folder: Path, kept: Path, monkeypatch: Any) -> None:
    put(folder, *(f"{i}.png" for i in range(5)))
    first = numbers(made(folder))
    assert all(isinstance(split.x, np.memmap) for split in made(folder).load().values())
    assert len(list(kept.iterdir())) == 3
    with monkeypatch.context() as patch:
        patch.setattr(cache, "ThreadPoolExecutor", None)
        assert numbers(made(folder, levels=2, flip=True)) == first  # the same pixels, whatever is made of them
        with pytest.raises(TypeError):
            numbers(made(folder, size=3))
    Image.new("RGB", (4, 4), (77, 0, 0)).save(folder / "2.png")
    os.utime(folder / "2.png", ns=(0, 5))
    assert 77 in chain(*numbers(made(folder)))
    assert sorted(path.name for path in folder.iterdir()) == [f"{i}.png" for i in range(5)]


def error_of(folder: Path, **args: Any) -> str:
    with pytest.raises(UserError) as info:
        made(folder, **args).load()
    return one_line(info)


def test_bad_paths_are_answered_by_the_constructor(folder: Path, tmp_path: Path) -> None:
    put(folder, "a.png")
    with pytest.raises(UserError, match=r"give data\.path=my_images"):
        ImageFolder()
    assert "did you mean 'mine'" in error_of(tmp_path / "mime")
    assert "is a file" in error_of(folder / "a.png")


def test_folders_of_too_few_images_are_answered_in_one_line(folder: Path) -> None:
    folder.mkdir()
    assert f"{folder}: no images" in error_of(folder)
    put(folder, "a.png", "b.png")
    assert "2 training examples are too few" in error_of(folder)
    (folder / "train").mkdir()
    assert f"{folder / 'train'}: no images" in error_of(folder)


def test_folders_that_do_not_fit_are_answered_in_one_line(folder: Path) -> None:
    put(folder, "test/a.png")
    assert "a folder 'test' but no 'train'" in error_of(folder)
    put(folder, *(f"train/{name}/{i}.png" for name in "ab" for i in range(5)), "test/d/1.png")
    (folder / "test/a.png").unlink()
    assert "test has the class 'd'" in error_of(folder)
    put(folder, "val/a/1.png", "valid/a/1.png")
    assert "val and valid are names of the same split" in error_of(folder)


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "dangling"])
def test_an_unreadable_image_is_named(folder: Path, kept: Path, kind: str) -> None:
    put(folder, *(f"{i}.png" for i in range(5)), size=(40, 40))
    path = folder / "3.png"
    whole = path.read_bytes()
    path.unlink()
    if kind == "dangling":
        path.symlink_to(folder / "nowhere.png")
    else:
        path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-40]}[kind])
    assert str(path) in error_of(folder)
    assert not list(kept.glob(".*")) if kept.is_dir() else True


def test_a_folder_that_cannot_keep_them(folder: Path, kept: Path) -> None:
    put(folder, *(f"{i}.png" for i in range(5)))
    kept.parent.touch()
    assert "cannot be written" in (message := error_of(folder)) and download.ENVIRONMENT in message
