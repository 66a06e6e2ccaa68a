"""The .npy files that images are mapped from: whole or absent, the same whoever writes them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ar_lightning.core.errors import UserError
from ar_lightning.data import cache
from ar_lightning.data.cache import Blocks, cached_split, decoded, fingerprint, open_image, stamp
from tests.support.files import one_line

X = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 5), dtype=np.uint8)
Y = np.arange(10)


def blocks(labelled: bool = True) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        yield X[part], Y[part] if labelled else None


def never() -> Blocks:
    raise AssertionError("it is read again")


@pytest.mark.parametrize("labelled", [True, False])
def test_images_are_written_once_and_mapped(tmp_path: Path, labelled: bool) -> None:
    path = tmp_path / "new" / "x.npy"
    for read in (lambda: blocks(labelled), never):
        split = cached_split(path, read, "")
        assert isinstance(split.x, np.memmap) and not split.x.flags.writeable
        np.testing.assert_array_equal(split.x, X)
        assert split.labels is None if not labelled else split.labels is not None and split.labels.tolist() == [*Y]
    assert len(list(path.parent.iterdir())) == 1 + labelled
    np.testing.assert_array_equal(np.load(path), X)  # a plain .npy file


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Blocks:
        yield X, Y
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_split(tmp_path / "x.npy", interrupted, "")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_is_answered_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(UserError, match=r"No space left on device\); do this") as info,
    ):
        patch.setattr(os, "fsync", full)
        cached_split(tmp_path / "x.npy", blocks, "do this")
    assert one_line(info) and list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written") as info:
        cached_split(tmp_path / "file" / "x.npy", blocks, "do this")
    one_line(info)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    cached_split(path, blocks, "")
    for content in (path.read_bytes()[:-20], b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is made again") as info:
            cached_split(path, never, "")
        assert str(path) in one_line(info)


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.data.test_cache import X, blocks, cached_split\n"
        "s = cached_split(Path(sys.argv[1]), blocks, ''); assert (s.x == X).all() and s.labels.tolist() == [*range(10)]"
    )
    root = Path(__file__).parents[2]
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x.npy")], cwd=root) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-labels.npy", "x.npy"]


def test_files_are_decoded_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK", 4)
    files = [tmp_path / f"{i}.png" for i in range(10)]
    for file, x in zip(files, X, strict=True):
        Image.fromarray(x.transpose(1, 2, 0)).save(file)
    parts = list(decoded(files, lambda path: open_image(path, 3)[None], "test", Y))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), X)
    assert [y.tolist() for _, y in parts if y is not None] == [[i] for i in Y]


def test_a_fingerprint_changes_with_settings_and_files(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1")
    os.utime(file, ns=(0, 0))
    first = fingerprint(32, stamp(file))
    assert first == fingerprint(32, stamp(file)) != fingerprint(16, stamp(file))
    os.utime(file, ns=(0, 1))
    assert fingerprint(32, stamp(file)) != first
    with pytest.raises(UserError, match="cannot be read"):
        stamp(tmp_path / "b")


def saved(path: Path, mode: str, **options: object) -> Path:
    """A picture of two colours: red on the left and blue on the right, 6x4."""
    image = Image.new("RGB", (6, 4), (204, 0, 0))
    image.paste((0, 0, 102), (3, 0, 6, 4))
    image.convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P"), ("a.gif", "P"), ("a.bmp", "RGB"), ("a.jpg", "CMYK")],
)
def test_every_kind_of_image_becomes_colour_or_grey(tmp_path: Path, name: str, mode: str) -> None:
    path = saved(tmp_path / name, mode)
    colour, grey = open_image(path, 3).astype(int), open_image(path, 1).astype(int)
    assert colour.shape == (3, 4, 6) and grey.shape == (1, 4, 6)
    atol = 12 if name.endswith("jpg") else 0
    np.testing.assert_allclose(colour[:, 0, [0, 5]].T, [[204, 0, 0], [0, 0, 102]], atol=atol)
    np.testing.assert_allclose(grey[0, 0, [0, 5]], [61, 12], atol=max(atol, 1))  # luma


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8  # a quarter turn is to be undone
    x = open_image(saved(tmp_path / "a.png", "RGB", exif=exif), 3)
    assert x.shape == (3, 6, 4) and x[:, 0, 0].tolist() == [0, 0, 102] and x[:, 5, 0].tolist() == [204, 0, 0]


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (open_image(tmp_path / "a.gif", 1) == 10).all()


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "deep", "flipped"])
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    if kind == "deep":
        Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(path)
    else:
        flipped = whole[:900] + bytes([whole[900] ^ 255]) + whole[901:]
        path.write_bytes({"text": b"hello", "empty": b"", "truncated": whole[:-900], "flipped": flipped}[kind])
    with pytest.raises(UserError) as info:
        open_image(path, 3)
    assert str(path) in one_line(info) and ("8 bits" in str(info.value)) == (kind == "deep")
