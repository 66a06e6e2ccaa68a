"""Say what was left out, converted or inferred: a line each on standard error, once a process."""

import os
import sys
from functools import cache

__all__ = ["notice"]

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")  # of the processes of one training; the first one speaks for all


@cache
def notice(line: str) -> None:
    """Print a line to the user, beside the output of a command, if it was not said before."""
    if all(os.environ.get(name, "0") == "0" for name in RANKS):
        print("note:", " ".join(line.split()), file=sys.stderr, flush=True)
