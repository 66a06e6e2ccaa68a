"""Examples too many for memory: read once into an .npy file, which is then memory-mapped."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.data.base import Split
from ar_lightning.data.download import ENVIRONMENT

__all__ = ["Blocks", "Decoded", "cached_files", "cached_split", "decoded", "fingerprint", "stamp"]

# Parts of a split, one after another: examples `(n, C, *sites)`, and their labels `(n,)` int64 or None.
Blocks = Iterable[tuple[np.ndarray, np.ndarray | None]]
CHUNK = 32  # files decoded before they are written: large ones must fit in memory


class Decoded(NamedTuple):
    """What a file holds."""

    x: np.ndarray  # examples `(n, C, *sites)`
    remarks: tuple[str, ...] = ()  # what was done to it that a user should know


def cached_split(path: Path, read: Callable[[], Blocks], fix: str) -> Split:
    """Map a split from `path`, with its labels from beside it; write both first, from what `read` returns, if need be.

    A file appears under its name only when it is whole, so that processes may do this at the same time. It is named
    after everything that its content depends on: an existing one is read as it is. The error of one that cannot be
    written ends in `fix`.
    """
    labels = path.with_name(f"{path.stem}-labels.npy")
    if not path.is_file():
        try:
            _write(path, labels, read())
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error}); {fix}") from error
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
        return Split(x, np.load(labels, allow_pickle=False) if labels.is_file() else None)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: damaged or unreadable; move it to another folder, and it is made again") from error


def cached_files(
    stem: Path,
    files: Sequence[Path],
    labels: np.ndarray | None,
    settings: tuple[Any, ...],
    read: Callable[[Path], Decoded],
) -> tuple[Split, Counter[str]]:
    """Map the examples in some files, and count the remarks on them; the files are decoded once.

    What they make is kept beside `stem`, which its name begins with, and made anew when the files, their `labels`
    `(len(files),)` or `settings`, all else that it depends on, change.
    """
    classes = None if labels is None else labels.tolist()
    key = fingerprint(*settings, classes, [(file.parent, *stamp(file)) for file in files])
    path = stem.with_name(f"{stem.name}-{key}.npy")
    beside = path.with_name(f"{path.stem}-remarks.json")

    def blocks() -> Blocks:
        remarks: Counter[str] = Counter()
        yield from decoded(files, read, stem.name, labels, remarks)
        if remarks:
            with written(beside) as partial:
                partial.write_text(json.dumps(remarks))

    split = cached_split(path, blocks, f"make room, or set {ENVIRONMENT}")
    return split, Counter(json.loads(beside.read_bytes()) if beside.is_file() else {})


def decoded(
    files: Sequence[Path], read: Callable[[Path], Decoded], title: str, labels: np.ndarray | None = None,
    remarks: Counter[str] | None = None,
) -> Blocks:  # fmt: skip
    """Decode files as `cached_files`, in as many threads as are useful, behind a progress bar; add to the `remarks`."""
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool, tqdm(total=len(files), desc=title, unit=" files", disable=None) as bar:
        for start in range(0, len(files), CHUNK):  # a chunk at a time: the pool would run ahead of the disk
            for i, (x, told) in enumerate(pool.map(read, files[start : start + CHUNK]), start):
                yield x, None if labels is None else np.full(len(x), labels[i])
                if remarks is not None:
                    remarks.update(told)
                bar.update()


def fingerprint(*settings: Any) -> str:
    """Return 16 hexadecimal digits that change with the settings, to name a file by."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def stamp(path: Path) -> tuple[str, int, int]:
    """Return name, size and time of the last change of a file; a changed file has another stamp."""
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); replace it or move it away") from error
    return path.name, status.st_size, status.st_mtime_ns


def _write(path: Path, labels_path: Path, blocks: Blocks) -> None:
    """Write examples one after another as one .npy, and before it appears their labels, so that it never lacks them.

    By plain writes: a full disk under a memory map kills the process.
    """
    n, labels = 0, []
    with written(path) as partial, partial.open("wb") as file:
        for x, y in blocks:
            if not n:
                _write_header(file, 0, x)  # which leaves room for n
            file.write(np.ascontiguousarray(x).data)
            n += len(x)
            labels += [] if y is None else [y]
        file.flush()
        os.fsync(file.fileno())  # some file systems only now say that the disk is full
        file.seek(0)
        _write_header(file, n, x)
        if labels:
            with written(labels_path) as aside, aside.open("wb") as labels_file:
                np.save(labels_file, np.concatenate(labels))


def _write_header(file: IO[bytes], n: int, x: np.ndarray) -> None:
    kind = np.lib.format.dtype_to_descr(x.dtype)
    layout = {"descr": kind, "fortran_order": False, "shape": (n, *x.shape[1:])}
    np.lib.format.write_array_header_1_0(file, layout)
