"""Files that are either whole or not there."""

import csv
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ar_lightning.core.errors import of_the_system

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "BEST", "CHECKPOINT_KEY", "LAST", "WEIGHTS", "naming", "save_npz", "write_bytes", "write_csv", "write_json",
    "write_npz", "written",
]  # fmt: skip

BEST, LAST = "best.ckpt", "last.ckpt"  # in the folder `checkpoints` of a run directory
WEIGHTS = "model.safetensors"  # in a folder that `export` wrote
CHECKPOINT_KEY = "ar_lightning"  # in both, of the config, data and version that rebuild its density


@contextmanager
def written(path: Path, alone: bool = False) -> Iterator[Path]:
    """Yield the place to write to instead of `path`, which becomes `path` at the end; its folder is made if need be.

    Other processes, maybe on other machines, may write it at the same time: the last one wins. What they leave behind
    when they are killed, nobody writes over, unless this process is `alone` to write here. A device or a pipe is
    written to directly. An `OSError` says which file could not be written.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        mine = "" if alone else f".{socket.gethostname()}-{os.getpid()}"
        partial = path.with_name(f"{path.name}{mine}.partial")
        try:
            yield partial
            partial.replace(path)
        finally:
            with suppress(OSError):  # the error that led here says more
                partial.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say in an `OSError` that names no file, or an unfinished one, that it is about `path`."""
    try:
        yield
    except (OSError, RuntimeError) as raised:  # PyTorch's own error hides that of the system
        error = raised if isinstance(raised, OSError) else raised.__context__
        if not isinstance(error, OSError) or error.errno is None:
            raise
        named = Path(error.filename or path)
        if named.parent != path.parent or not named.name.startswith(path.name):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file in one step; a `UserError` says why it cannot be written."""
    try:
        with written(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise of_the_system(error) from None


def write_json(value: dict[str, Any], path: Path) -> None:
    """Write plain containers for people and programs to read, in one step."""
    with written(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_csv(header: Iterable[str], rows: Iterable[Iterable[Any]], path: Path) -> None:
    """Write a table, in one step."""
    with written(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_npz(arrays: "dict[str, np.ndarray]", path: Path) -> None:
    """Write arrays by name, compressed, in one step."""
    with written(path) as partial, partial.open("wb") as file:
        save_npz(arrays, file)


def save_npz(arrays: "dict[str, np.ndarray]", file: IO[bytes]) -> None:
    """Write arrays as `numpy.savez_compressed` does, whatever their names: its own arguments have some."""
    import zipfile

    import numpy as np

    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
