"""Damage to the content of a file, chosen by a generator: what disks, editors, programs and people do to it."""

import re
import struct
from collections.abc import Callable
from random import Random

__all__ = ["EXTREMES", "mutated", "with_another_value"]

EXTREMES = [  # values that are legal somewhere, and seldom meant
    b"0", b"-1", b"2", b"0.5", b"-0.0", b"1e39", b"1e-320", b"1e999", b"nan", b"-inf", b"2147483648", b"1" + b"0" * 30,
    b"9223372036854775807", b"null", b"true", b"no", b"", b"''", b"[]", b"[1, 2]", b"{}", b"{a: 1}", b"[[", b"12:30",
    b"0x10", b"1_000", b"2024-01-15", b"!!python/name:os.system", b"*a", b"&a b", b"${oc.env:HOME}", b"${a}", b"$x$",
    b"[bold]", b"../x", b"/dev/null", b"~nobody", b"\x1b[31m", "é".encode(), "é".encode("latin-1"),
    b"\x00", b"%s", b'"', b"'", b"#", b"\xef\xbb\xbf",
]  # fmt: skip
FIXED = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff", *(struct.pack("<I", n) for n in (0, 1, 2**31 - 1, 2**32 - 1)),
         *(struct.pack(">I", n) for n in (1, 2**31 - 1, 10**9)), struct.pack("<Q", 2**63 - 1)]  # fmt: skip
VALUE = re.compile(rb"[^\s,:=\t\[\]{}\"']+")


def mutated(data: bytes, rng: Random) -> bytes:
    """Return the data with one to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(DAMAGES)(data, rng)
    return data


def with_another_value(data: bytes, rng: Random) -> bytes:
    """Replace a word or number by an extreme one, or by another of the data."""
    found = list(VALUE.finditer(data))
    if not found:
        return rng.choice(EXTREMES)
    old = rng.choice(found)
    new = rng.choice(EXTREMES) if rng.random() < 0.8 else rng.choice(found)[0]
    return data[: old.start()] + new + data[old.end() :]


def _flipped(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 8)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut_off(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _part(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 8)))


def _without_a_part(data: bytes, rng: Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _with_a_part_twice(data: bytes, rng: Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 100)) + data[end:]


def _written_over(data: bytes, rng: Random) -> bytes:
    new, at = rng.choice(FIXED), rng.randrange(len(data) + 1)
    return data[:at] + new + data[at + len(new) :]


def _with_lines_changed(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[i]
        case 1:
            lines.insert(j, lines[i])
        case 2:
            lines[i], lines[j] = lines[j], lines[i]
        case _:
            lines = lines[1:]  # the header
    return b"".join(lines)


def _in_another_encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode("utf-8", "replace").replace("e", rng.choice("eéδ€"), 1)
    return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "cp1252", "cp037", "utf-7")), "replace")


def _with_something_inserted(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice((rng.choice(EXTREMES), b"[" * 100_000, b'{"a":' * 20_000, b"a" * 300_000, b"\n", b"\r", b"\t"))
    return data[:at] + new + data[at:]


def _something_else(data: bytes, rng: Random) -> bytes:
    return rng.choice((b"", b"\n", b"{}", b"[]", b"1", b"\x00" * 64, rng.randbytes(64), rng.randbytes(len(data))))


DAMAGES: list[Callable[[bytes, Random], bytes]] = [
    with_another_value, with_another_value, with_another_value, _flipped, _cut_off, _without_a_part,
    _with_a_part_twice, _written_over, _with_lines_changed, _in_another_encoding, _with_something_inserted,
    _something_else,
]  # fmt: skip
