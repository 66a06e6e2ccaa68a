"""Folders: no file counts twice, none is left out without a word, and names that may mean two things are refused."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data import download
from ar_lightning.data.files_below import files_below, listed
from ar_lightning.data.user.audio_folder import AudioFolder
from ar_lightning.data.user.image_folder import ImageFolder
from ar_lightning.inference.inputs import read_inputs
from tests.support.files import one_line

GREY = DataSpec((1, 4, 4), 256)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(download.ENVIRONMENT, str(tmp_path / "kept"))
    return tmp_path / "mine"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.new("L", (4, 4), 7).save(folder / name)
        else:
            (folder / name).write_bytes(b"something else")


def images(folder: Path, **args: Any) -> ImageFolder:
    return ImageFolder(path=str(folder), size=4, channels=1, **args)


def error_of(folder: Path) -> str:
    with pytest.raises(UserError) as info:
        images(folder).load()
    return one_line(info)


LINKS = {  # by the link and where it leads
    "to the folder above": ("train/up", ".."),
    "to itself": ("train/here", "."),
    "to a folder beside": ("test/again", "../train"),
    "out of the folder and back": ("train/out", "../.."),
    "of a file": ("test/again.png", "../train/0.png"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_nothing_counts_twice(folder: Path, kind: str) -> None:
    put(folder, *(f"{split}/{i}.png" for split in ("train", "test") for i in range(20)))
    link, target = LINKS[kind]
    (folder / link).symlink_to(target)
    said = error_of(folder)
    assert "over again, and would count twice" in said and "remove one of the two" in said
    with pytest.raises(UserError, match="count twice"):
        read_inputs(folder, GREY)


def test_links_that_meet_are_found_at_once(folder: Path) -> None:
    put(folder, *(f"{name}/{i}.png" for name in "ab" for i in range(10)))
    (folder / "a/other").symlink_to("../b")
    (folder / "b/other").symlink_to("../a")
    assert "count twice" in error_of(folder)


def test_links_to_what_lies_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "1.png", "2.png", "other.txt")
    put(tmp_path, "blob.bin", "blob.png")
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "3.png").symlink_to(tmp_path / "blob.png")
    found = files_below(folder, (".png",))
    assert [file.name for file in found.files] == ["3.png", "1.png", "2.png"] and found.left_out == {".txt": 1}


@pytest.mark.parametrize("name", ["train", "Train", "training"])
def test_a_class_that_is_called_as_a_split_is_refused(folder: Path, name: str) -> None:
    put(folder, *(f"{kind}/{i}.png" for kind in ("bus", "car", name) for i in range(10)))
    assert f"'{name}' beside 'bus' may be a split or a class; rename it if it is a class" in error_of(folder)


@pytest.mark.parametrize("name", ["test", "val"])
def test_so_is_one_called_as_another_split(folder: Path, name: str) -> None:
    put(folder, *(f"{kind}/{i}.png" for kind in ("bus", "car", name) for i in range(10)))
    assert f"rename '{name}'" in error_of(folder)


def test_splits_further_down_are_not_mixed(folder: Path) -> None:
    put(folder, *(f"unpacked/{split}/{i}.png" for split in ("train", "test") for i in range(10)))
    assert f"{folder / 'unpacked'}: has folders test and train, which are splits only at the top" in error_of(folder)


def test_names_of_splits_may_begin_with_a_capital(folder: Path) -> None:
    put(folder, *(f"{split}/{i}.png" for split in ("Training", "Testing") for i in range(10)))
    assert [len(split.x) for split in images(folder).load().values()] == [9, 1, 10]


def test_what_is_left_out_is_counted_and_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, *(f"{split}/{i}.png" for split in ("train", "val", "test") for i in range(3)))
    assert "left out" not in images(folder).regime and not capsys.readouterr().err
    put(folder, "other/1.png", "2.png", "train/a.heic", "train/b.HEIC", "notes.txt", ".hidden", "README")
    regime = images(folder).regime
    said = "left out: 2 .heic, 2 outside of train/val/test, 1 hidden, 1 without an ending and 1 .txt"
    assert regime.endswith(f"3/3/3, {said}")
    assert capsys.readouterr().err.count("left out: ") == 1
    assert read_inputs(folder, GREY).notes == ("left out: 2 .heic, 1 hidden, 1 without an ending and 1 .txt",)


def test_classes_that_are_none_are_said(folder: Path) -> None:
    put(folder, *(f"{name}/{i}.png" for name in "ab" for i in range(10)), "loose.png")
    assert "no classes, since 1 lie in no class folder" in images(folder).regime


def test_many_kinds_are_not_all_named() -> None:
    assert listed(Counter({f".{i}": 10 - i for i in range(7)})).endswith("6 .4 and 9 of other kinds")


def test_recordings_of_every_kind_are_read_together_and_others_said(folder: Path) -> None:
    folder.mkdir()
    for i, kind in enumerate(("wav", "mp3", "aiff", "ogg", "flac") * 2):
        soundfile.write(folder / f"{i}.{kind}", np.full(2000, 0.1), 8000, format=kind.upper())
    soundfile.write(folder / "named.wav", np.full(2000, 0.1), 8000, format="MP3")
    put(folder, "a.m4a")
    data = AudioFolder(path=str(folder), rate=8000, length=256)
    assert "of 9/1/1 files" in data.regime and data.regime.endswith("dropped, left out: 1 .m4a")
    assert sum(len(split.x) for split in data.load().values()) == 11 * (2000 // 256)


def test_pipes_and_broken_links_are_refused_by_name(folder: Path) -> None:
    put(folder, *(f"{i}.png" for i in range(10)))
    os.mkfifo(folder / "pipe.png")
    assert f"{folder / 'pipe.png'}: not a file, but a broken link, a pipe or a device" in error_of(folder)
    with pytest.raises(UserError, match="a pipe or a device"):
        read_inputs(folder / "pipe.png", GREY)
    (folder / "pipe.png").unlink()
    (folder / "x.png").symlink_to("x.png")
    assert "broken link" in error_of(folder)
    (folder / "x.png").unlink()
    os.mkfifo(folder / "pipe.fifo")  # of no kind that is looked for
    assert "left out: 1 .fifo" in images(folder).regime


def test_an_unreadable_folder_is_refused_in_a_split_and_said_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, *(f"{split}/{i}.png" for split in ("train", "test") for i in range(10)), "lost/1.png", "train/a/1.png")
    closed, scandir = ["lost"], os.scandir

    def permitted(path: str) -> Any:
        if Path(path).name in closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", permitted)  # as root reads everything
    assert "1 unreadable folders" in images(folder).regime
    closed.append("a")
    assert f"{folder / 'train/a'}: cannot be read (Permission denied)" in error_of(folder)


def test_what_was_done_to_pictures_is_counted_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, *(f"{i}.png" for i in range(7)))
    for i in range(3):
        Image.fromarray(np.full((4, 4), 51200 + i, np.uint16)).save(folder / f"deep{i}.png")
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.save(folder / "clear.png")
    data = images(folder)
    said = "3 of 16 bits (the upper 8 are read) and 1 transparent (laid on white)"
    assert data.regime.endswith(said) and said in capsys.readouterr().err
    assert images(folder).regime.endswith(said)  # of what is kept, too
    seen = np.concatenate([split.x.ravel() for split in data.load().values()])
    assert Counter(seen.tolist()) == {7: 7 * 16, 200: 3 * 16, 255: 16}
    assert images(folder, background="black").regime.endswith("1 transparent (laid on black)")
    assert read_inputs(folder / "clear.png", GREY, background="black").split.x.max() == 0
    assert read_inputs(folder / "clear.png", GREY).notes == ("1 transparent (laid on white)",)
