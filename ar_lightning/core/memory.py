"""How much memory there is for what is read."""

import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["available_memory"]

FREE = Path("/proc/meminfo")  # of Linux; of other systems nothing is known
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container


def available_memory() -> int:
    """Return the bytes of memory that this process can have, as far as the system says."""
    known = [sys.maxsize]
    with suppress(OSError, StopIteration), FREE.open() as lines:
        known.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # ValueError: "max"
            known.append(int(file.read_text()))
    return min(known)
