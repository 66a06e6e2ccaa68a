"""Arrays of .npz files; what a file says of its size is checked before anything of it is read."""

import math
import zipfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.memory import available_memory

__all__ = ["npz_names", "read_npz"]

MAGIC = np.lib.format.MAGIC_PREFIX
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}  # by version


def npz_names(file: Path) -> list[str]:
    """Return the names of the arrays in an .npz file, and read none of them."""
    with _opened(file, str(file)) as archive:
        return list(dict.fromkeys(_name(member) for member in archive.infolist()))


def read_npz(file: Path | IO[bytes], keys: Container[object] | None = None, where: str = "") -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file, or only those of `keys`, never unpickling; messages call the file `where`."""
    where = where or str(file)
    with _opened(file, where) as archive:
        members = [m for m in archive.infolist() if keys is None or _name(m) in keys]
        _check_sizes(archive, members, where)
        arrays = {}
        for member in members:
            with archive.open(member) as content:
                if content.read(len(MAGIC)) == MAGIC:
                    content.seek(0)
                    arrays[_name(member)] = np.lib.format.read_array(content, allow_pickle=False)
    return arrays


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


@contextmanager
def _opened(file: Path | IO[bytes], where: str) -> Iterator[zipfile.ZipFile]:
    """Open a file as the archive that it should be; whatever is wrong with it is a `UserError`."""
    try:
        if not zipfile.is_zipfile(file):
            fix = "write it with numpy.savez, or download it again"
            raise UserError(f"{where}: not an .npz file, or a truncated one; {fix}")
        with zipfile.ZipFile(file) as archive:
            yield archive
    except UserError:
        raise
    except Exception as error:  # whatever NumPy makes of bytes that can be anything
        what = f"damaged or unreadable ({type(error).__name__}); write or download it again"
        if "allow_pickle" in str(error):
            what = "holds pickled objects, which are never loaded; save plain numeric arrays"
        raise UserError(f"{where}: {what}") from error


def _check_sizes(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], where: str) -> None:
    """Refuse arrays that are encrypted, that do not fit in memory, or whose header claims more than there is."""
    for member in members:
        if member.flag_bits & 1:
            raise UserError(f"'{_name(member)}' is encrypted", where, "save it without a password")
    size, free = sum(member.file_size for member in members), available_memory()
    if size > free:
        what = f"its arrays take {size / 2**30:,.1f} GiB of memory, and there are {free / 2**30:,.1f}"
        raise UserError(what, where, "save fewer examples, or a smaller type")
    for member in members:
        with archive.open(member) as content:
            *_, major, minor = content.read(np.lib.format.MAGIC_LEN) or (0, 0)
            if read_header := HEADERS.get((major, minor)):
                shape, _, dtype = read_header(content)
                held = member.file_size - content.tell()
                if not dtype.hasobject and math.prod(shape) * dtype.itemsize > held:
                    what = f"'{_name(member)}' claims to be of shape {shape}, which is more than the file has"
                    raise UserError(what, where, "it was changed or damaged; write or download it again")
