"""Files for the tests of datasets: their content, and where to put them."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.data import download

REAL = os.environ.get(download.ENVIRONMENT)
Files = dict[str, bytes]  # content by name
Server = tuple[str, Path]  # base URL, and the folder served

real_data = pytest.mark.skipif(not REAL, reason=f"set {download.ENVIRONMENT} to a folder with the public files")


def idx_gz(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def one_line(info: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(info.value)
    return str(info.value)


def put(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
