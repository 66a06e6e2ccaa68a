"""Images too many for memory: read once into an .npy file, which is then memory-mapped."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.data.base import Split

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Blocks", "cached_split", "decoded", "fingerprint", "open_image", "stamp"]

# Parts of a split, one after another: images `(n, C, H, W)` uint8, and their labels `(n,)` int64 or None.
Blocks = Iterable[tuple[np.ndarray, np.ndarray | None]]
CHUNK = 128  # images read before they are written: large ones must fit in memory


def cached_split(path: Path, read: Callable[[], Blocks], fix: str) -> Split:
    """Map a split from `path`, with its labels from beside it; write both first if need be.

    A file appears under its name only when it is whole, so that processes may do this at the same time.

    Args:
        path: an .npy file, named after everything that its content depends on; an existing one is read as it is.
        read: called for the images where the file is missing.
        fix: what to do where the file cannot be written.

    Raises:
        UserError: the file cannot be written, or is damaged.
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
        raise UserError(f"{path}: damaged or unreadable; delete it to have it made again") from error


def decoded(files: Sequence[Path], read: Callable[[Path], np.ndarray], title: str) -> Blocks:
    """Decode image files in their order, in as many threads as are useful, behind a progress bar."""
    from tqdm import tqdm

    with ThreadPoolExecutor() as pool, tqdm(total=len(files), desc=title, unit=" images", disable=None) as bar:
        for start in range(0, len(files), CHUNK):  # a chunk at a time: the pool would run ahead of the disk
            chunk = files[start : start + CHUNK]
            yield np.stack(list(pool.map(read, chunk))), None
            bar.update(len(chunk))


def open_image(path: Path, channels: int, prepare: Callable[["Image"], "Image"] = lambda image: image) -> np.ndarray:
    """Read an image file as `(C, H, W)` uint8, upright, the first frame if it has several; `prepare` may resize it.

    Raises:
        UserError: it is no image, is damaged or has more than 8 bits.
    """
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
        raise UserError(f"{path}: not an image, or a damaged one ({_reason(error)}); replace or remove it") from error
    pixels = np.asarray(prepare(decoded_image))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def fingerprint(*settings: Any) -> str:
    """Return 16 hexadecimal digits that change with the settings, to name a file by."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def stamp(path: Path) -> tuple[str, int, int]:
    """Return name, size and time of the last change of a file; a changed file has another stamp.

    Raises:
        UserError: there is no such file, as where a link leads nowhere.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); replace or remove it") from error
    return path.name, status.st_size, status.st_mtime_ns


def _write(path: Path, labels_path: Path, blocks: Blocks) -> None:
    """Write labels, then images, so that images never lack their labels."""
    labels: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        for x, y in blocks:
            labels.extend([] if y is None else [y])
            yield x

    with written(path, shared=True) as partial:
        _append(partial, images())
        if labels:
            with written(labels_path, shared=True) as aside:
                _append(aside, labels)


def _append(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """Write arrays one after another as one .npy, by plain writes: a full disk under a memory map kills the process."""
    n, start = 0, 0
    with path.open("wb") as file:
        for block in blocks:
            if not n:
                start = _header(file, 0, block)
            file.write(np.ascontiguousarray(block).data)
            n += len(block)
        file.flush()
        os.fsync(file.fileno())  # some file systems only now say that the disk is full
        file.seek(0)
        if _header(file, n, block) != start:
            raise AssertionError("an .npy header leaves room for the number of rows to grow")


def _header(file: Any, n: int, block: np.ndarray) -> int:
    kind = np.lib.format.dtype_to_descr(block.dtype)
    layout = {"descr": kind, "fortran_order": False, "shape": (n, *block.shape[1:])}
    np.lib.format.write_array_header_1_0(file, layout)
    return int(file.tell())


def _reason(error: Exception) -> str:
    return type(error).__name__ if "cannot identify" in str(error) or not str(error) else str(error).partition("\n")[0]
