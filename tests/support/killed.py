"""A training that ends like one whose power is cut: `python tests/support/killed.py BATCHES ARGS`."""

import os
import signal
import sys
from typing import Any

from ar_lightning.cli import main
from ar_lightning.training.lit import LitDensity


def train(batches: int, *args: str) -> int:
    """Run a command; nothing of this process is left once it has trained on this many batches."""
    step = LitDensity.training_step
    taken = 0

    def counted(self: LitDensity, *given: Any) -> Any:
        nonlocal taken
        if taken == batches:
            os.kill(os.getpid(), signal.SIGKILL)
        taken += 1
        return step(self, *given)

    LitDensity.training_step = counted
    return main(args)


if __name__ == "__main__":
    sys.exit(train(int(sys.argv[1]), *sys.argv[2:]))
