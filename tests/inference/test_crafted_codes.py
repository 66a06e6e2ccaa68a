"""Compressed files that somebody has changed, with a checksum that is right: one line, at once, and nothing written."""

import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
import torch

from ar_lightning.config.build import build_data_module
from ar_lightning.config.checks import check_config
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.inference.codec.codec import decode, encode
from ar_lightning.inference.codec.file import FRAME, HEADER, MAGIC, compress, decompress
from ar_lightning.training.fit import build_lit
from tests.support.cases import SPECS, Case

RUNS = {
    "images": ["model=nade"],
    "labels": ["model=nade", "model.conditional=true"],
    "text": ["model=rnn", "data=text", "data.length=16"],
    "bytes": ["model=rnn", "data=text", "data.unit=bytes", "data.length=16"],
}
COUNTS = [  # that no file has, or far more than its code can hold
    "", "0", "-1", "1.5", "1e3", "x", "٣", "5_000", " 5", "+5", "0x5", "nan", "\x00", "9" * 18, "9" * 30, "9" * 5000,
    "5000000000", "2147483648",
]  # fmt: skip
SHAPES = ["5,8", "5", "5,64,0", ",8,8", "5,8,8,", "5,-8,-8", "5,8,8,2", "5,1,1,8,8", "6,8,8", "2147483648,64"]
KINDS = ["", "O", "|O", "U1", "<U9", "c8", "M8[s]", "V8", "i4,i4", "(2,)u1", "u1" * 99, "i3", "f1", "x", "<f99", "\n"]
LINES: dict[str, list[list[str]]] = {  # what stands where an array's shape, kind and name do, or a text's length
    "images": [
        *(["npz", shape, "u1", "test"] for shape in [*SHAPES, *(f"{n},8,8" for n in COUNTS)]),
        *(["npz", "5,8,8", kind, "test"] for kind in KINDS),
        [], ["npz"], ["npz", "5,8,8", "u1"], ["npz", "5,8,8", "u1", "test", "<i8"], ["npy", "5,8,8", "u1", "test"],
        ["png", "1"], ["png"], ["txt", "320"], ["../x", "320"],
    ],
    "labels": [
        *(["npz", f"{n},8,8", "u1", "test", "<i8"] for n in ("0", "4", "6", "5000000000")),
        *(["npz", "5,8,8", "u1", "test", kind] for kind in ("O", "x", "")), ["npz", "5,8,8", "u1", "test"], ["png"],
    ],
    "text": [*(["txt", n] for n in COUNTS), ["txt", "37"], ["txt"], ["txt", "36", "x"], ["png"], ["npz", "3,16", "u1"]],
    "bytes": [*(["txt", n] for n in ("0", "35", "9" * 18)), ["npz", "3,16", "u1", "\t"]],
}  # fmt: skip
CODES = {
    "empty": lambda code: b"", "shorter": lambda code: code[:-8], "in half a word": lambda code: code[:-2],
    "zeros": lambda code: bytes(len(code)), "ones": lambda code: b"\xff" * len(code), "turned": lambda code: code[::-1],
}  # fmt: skip


@pytest.fixture(scope="module")
def densities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Densities as they begin, and a compressed file of each."""
    folder = tmp_path_factory.mktemp("runs")
    np.savez(folder / "array.npz", test=np.arange(320, dtype=np.uint8).reshape(5, 8, 8) % 17, test_labels=np.arange(5))
    (folder / "text.txt").write_text("abc " * 9)
    for name, settings in RUNS.items():
        config = load_config(None, ["model.hidden=4", *settings])
        lit = build_lit(config, build_data_module(config, check_config(config)))
        checkpoint: dict[str, Any] = {"state_dict": lit.state_dict()}
        lit.on_save_checkpoint(checkpoint)
        torch.save(checkpoint, folder / f"{name}.ckpt")
        source = folder / ("text.txt" if "data=text" in settings else "array.npz")
        compress(str(folder / f"{name}.ckpt"), str(source), str(folder / f"{name}.arl"))
    return folder


def parts_of(file: Path) -> tuple[bytes, list[str], bytes]:
    """Return what stands before the line of text of a compressed file, its fields, and the code."""
    content = file.read_bytes()[FRAME.size :]
    head, (line, _, code) = content[: HEADER.size], content[HEADER.size :].partition(b"\n")
    return head, [unquote(field) for field in line.decode().split("\t")], code


def crafted(head: bytes, line: bytes, code: bytes) -> bytes:
    body = head + line + b"\n" + code
    return FRAME.pack(MAGIC, zlib.crc32(body)) + body


def refused(run: Path, content: bytes, folder: Path) -> str:
    file = folder / "crafted.arl"
    file.write_bytes(content)
    with pytest.raises(UserError) as raised:
        decompress(str(run), str(file))
    assert [*folder.iterdir()] == [file] and str(file) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", RUNS)
def test_every_field_is_checked_against_what_is_there(name: str, densities: Path, tmp_path: Path) -> None:
    run = densities / f"{name}.ckpt"
    head, (version, processor, engine, *_), code = parts_of(densities / f"{name}.arl")
    for fields in LINES[name]:
        line = "\t".join(quote(field, safe="<>=,") for field in (version, processor, engine, *fields))
        refused(run, crafted(head, line.encode(), code), tmp_path)
    assert "header" in refused(run, crafted(head, b"\xff\xfe", code), tmp_path)
    assert "header" in refused(run, FRAME.pack(MAGIC, zlib.crc32(head)) + head, tmp_path)


@pytest.mark.parametrize("name", RUNS)
def test_a_code_of_other_values_is_noticed(name: str, densities: Path, tmp_path: Path) -> None:
    head, fields, code = parts_of(densities / f"{name}.arl")
    line = "\t".join(quote(field, safe="<>=,") for field in fields).encode()
    for damage in CODES.values():
        assert "does not come out" in refused(densities / f"{name}.ckpt", crafted(head, line, damage(code)), tmp_path)
    assert decompress(
        str(densities / f"{name}.ckpt"), str(densities / f"{name}.arl"), str(tmp_path / "right")
    ).is_file()


def test_a_code_ends_where_its_information_does() -> None:
    """What is certain takes no bits: thousands of values lie in a word. What is not certain cannot."""
    density = Case("independent", "bernoulli", SPECS["binary"]).build()
    for parameter in density.parameters():
        parameter.data.fill_(40.0)
    x = torch.ones(1000, *density.spec.shape, dtype=torch.long)
    certain = encode(density, x)
    assert len(certain) <= 8 and torch.equal(decode(density, certain, len(x)).x, x)
    with pytest.raises(ValueError, match="too short"):
        decode(density, certain, 10**12)
    for parameter in density.parameters():
        parameter.data.fill_(0.0)
    with pytest.raises(ValueError, match="ends before"):
        decode(density, certain, 10**6)


def test_names_of_arrays_are_any(densities: Path, tmp_path: Path) -> None:
    """Those of the arguments of `numpy.savez` too."""
    for name in ("file", "allow_pickle", "a/b", "", "é\t"):
        np.save(tmp_path / "array.npy", np.ones((2, 8, 8), np.uint8))
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.write(tmp_path / "array.npy", f"{name}.npy")
        packed = compress(str(densities / "images.ckpt"), str(tmp_path / "a.npz"), str(tmp_path / "a.arl")).path
        with np.load(decompress(str(densities / "images.ckpt"), str(packed), str(tmp_path / "b.npz"))) as back:
            assert back.files == [name] and np.array_equal(back[name], np.ones((2, 8, 8)))
