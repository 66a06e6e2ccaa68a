"""W&B's own log of a run, the file `run-ID.wandb`: mended after its writer was killed.

`wandb sync` stops at a record that is cut short, and leaves out whatever it was asked to upload after it. The file is a
LevelDB log: blocks of 32 KiB, in them pieces of records, each behind a checksum, its length and its kind.
"""

import os
from pathlib import Path
from struct import Struct

__all__ = ["mend"]

BLOCK = 32 * 1024
FILE_HEADER = 7  # bytes
PIECE = Struct("<IHB")  # checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4  # kinds


def mend(log: Path) -> bool:
    """Cut an incomplete last record; return whether a whole one is left."""
    whole = _whole(log.read_bytes())
    if whole < log.stat().st_size:
        os.truncate(log, whole)
    return whole > FILE_HEADER


def _whole(data: bytes) -> int:
    """Return the length of the part that holds whole records."""
    at = end = FILE_HEADER
    while True:
        left = BLOCK - at % BLOCK
        if left < PIECE.size:  # no piece begins there
            at += left
        if at + PIECE.size > len(data):
            return min(end, len(data))
        _, length, kind = PIECE.unpack_from(data, at)
        at += PIECE.size + length
        if at > len(data) or kind not in (FULL, FIRST, MIDDLE, LAST):
            return end
        if kind in (FULL, LAST):
            end = at
