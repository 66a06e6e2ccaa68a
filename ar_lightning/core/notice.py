"""Say what was left out, converted or inferred: a line each on standard error, once a process."""

import sys
from functools import cache

from ar_lightning.core.rank import rank

__all__ = ["notice"]


@cache
def notice(line: str) -> None:
    """Print a line to the user, beside the output of a command, if it was not said before."""
    if rank() == 0:
        print("note:", " ".join(line.split()), file=sys.stderr, flush=True)
