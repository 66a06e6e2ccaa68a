"""Which process of a training this is, as its environment says before a library is asked."""

import os

__all__ = ["rank"]

NAMES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # of all launchers


def rank() -> int:
    """Return 0 for a process on its own and for the first of several, which speaks for all, else another number."""
    numbers = (os.environ.get(name, "") for name in NAMES)
    return next((int(number) for number in numbers if number.isdecimal() and int(number)), 0)
