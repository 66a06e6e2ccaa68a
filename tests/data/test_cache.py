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
from ar_lightning.data.cache import Blocks, Decoded, cached_split, decoded, fingerprint, stamp
from ar_lightning.media.picture import open_image
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
    parts = list(decoded(files, lambda path: Decoded(open_image(path, 3).pixels[None]), "test", Y))
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
