"""Files of arrays: their sizes are believed only where they can be, and nothing is read that is not asked for."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.memory import available_memory
from ar_lightning.data import npz_file
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.user.npz import NpzArrays
from tests.support.files import one_line


def refused(path: Path, *keys: str) -> str:
    with pytest.raises(UserError) as info:
        read_npz(path, keys or None)
    said = one_line(info)
    assert str(path) in said
    return said


def member(shape: str, values: bytes = bytes(64)) -> bytes:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': " + shape.encode() + b", }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(9,)", "(1000000, 1000000)"])
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, shape: str) -> None:
    said = refused(archive(tmp_path / "a.npz", train=member(shape)))
    assert "'train' claims to be of shape" in said and "more than the file has" in said


def test_what_inflates_to_more_than_fits_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", train=member("(4096, 128)", bytes(2**22)), small=member("(8,)"))
    assert path.stat().st_size < 2**14
    monkeypatch.setattr(npz_file, "available_memory", lambda: 2**22)
    assert "its arrays take 0.0 GiB of memory" in refused(path)
    assert read_npz(path, ("small",))["small"].shape == (8,)
    assert available_memory() > 2**22


def test_what_is_encrypted_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", train=member("(8,)"), other=member("(8,)"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first entry in the directory of the archive
    path.write_bytes(content)
    assert "'train' is encrypted" in refused(path)
    assert npz_names(path) == ["train", "other"] and "other" in read_npz(path, ("other",))


def test_pipes_and_devices_are_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    for path in (tmp_path / "a.npz", Path("/dev/zero")):
        with pytest.raises(UserError) as info:
            NpzArrays(path=str(path))
        assert f"data.path: {path} is a pipe or a device" in one_line(info)


def test_files_beside_the_arrays_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        file.writestr("README.txt", "three numbers")
    assert list(read_npz(tmp_path / "a.npz")) == ["train"]
