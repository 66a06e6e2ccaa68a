"""A benchmark as a command: what it refuses, or the system refuses it, is one line."""

import sys
from collections.abc import Callable

from ar_lightning.core.output import answered

__all__ = ["run"]


def run(main: Callable[[], None]) -> None:
    """Run a benchmark that takes the arguments of the command line, and exit with its code."""

    def done() -> int:
        main()
        return 0

    sys.exit(answered(done))
