"""Examples too many for memory: read once into an .npy file, which is then memory-mapped."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.data.base import Split
from ar_lightning.data.download import ENVIRONMENT

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Blocks", "cached_files", "cached_split", "decoded", "fingerprint", "open_image", "stamp"]

# Parts of a split, one after another: examples `(n, C, *sites)`, and their labels `(n,)` int64 or None.
Blocks = Iterable[tuple[np.ndarray, np.ndarray | None]]
CHUNK = 32  # files decoded before they are written: large ones must fit in memory


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
    read: Callable[[Path], np.ndarray],
) -> Split:
    """Map the examples in some files; the files are decoded once, and what they make is kept.

    It is kept beside `stem`, which its name begins with, and made anew when the files, their `labels` `(len(files),)`
    or `settings`, all else that it depends on, change. `read` returns the examples `(n, C, *sites)` of a file.
    """
    classes = None if labels is None else labels.tolist()
    key = fingerprint(*settings, classes, [(file.parent, *stamp(file)) for file in files])
    path = stem.with_name(f"{stem.name}-{key}.npy")
    return cached_split(path, lambda: decoded(files, read, stem.name, labels), f"make room, or set {ENVIRONMENT}")


def decoded(
    files: Sequence[Path], read: Callable[[Path], np.ndarray], title: str, labels: np.ndarray | None = None
) -> Blocks:
    """Decode files as `cached_files`, in as many threads as are useful, behind a progress bar with a title."""
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool, tqdm(total=len(files), desc=title, unit=" files", disable=None) as bar:
        for start in range(0, len(files), CHUNK):  # a chunk at a time: the pool would run ahead of the disk
            for i, x in enumerate(pool.map(read, files[start : start + CHUNK]), start):
                yield x, None if labels is None else np.full(len(x), labels[i])
                bar.update()


def open_image(path: Path, channels: int, prepare: Callable[["Image"], "Image"] = lambda image: image) -> np.ndarray:
    """Read an image file as `(C, H, W)` uint8, upright, the first frame if it has several; `prepare` may resize it."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # converting these clips them to 255
                raise UserError(f"{path}: an image of more than 8 bits (mode {image.mode}); save it with 8 bits")
            upright = ImageOps.exif_transpose(image)
            # A palette may hold transparency in a form that only RGBA takes.
            opaque = upright.convert("RGBA") if upright.mode == "P" else upright
            decoded_image = opaque.convert("L" if channels == 1 else "RGB")
    except UserError:
        raise
    except Exception as error:  # whatever a decoder makes of bytes that can be anything
        raise UserError(
            f"{path}: not an image, or a damaged one ({_reason(error)}); replace it or move it away"
        ) from error
    pixels = np.asarray(prepare(decoded_image))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


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
    with written(path, shared=True) as partial, partial.open("wb") as file:
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
            with written(labels_path, shared=True) as aside, aside.open("wb") as labels_file:
                np.save(labels_file, np.concatenate(labels))


def _write_header(file: IO[bytes], n: int, x: np.ndarray) -> None:
    kind = np.lib.format.dtype_to_descr(x.dtype)
    layout = {"descr": kind, "fortran_order": False, "shape": (n, *x.shape[1:])}
    np.lib.format.write_array_header_1_0(file, layout)


def _reason(error: Exception) -> str:
    return type(error).__name__ if "cannot identify" in str(error) or not str(error) else str(error).partition("\n")[0]
