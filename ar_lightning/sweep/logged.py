"""Which rows W&B has of a sweep, also when the process that logged them was killed and W&B's own process with it.

Rows are noted before they are logged. W&B sends them, or writes them to disk, up to some seconds later; so of those
that a killed process has noted, some may be lost. What has arrived is counted where the server can be asked; an offline
record that was cut short is thrown away. Either way the rows are made again, from the study.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ar_lightning.core.files import written
from ar_lightning.tracking.wandb_run import WandbRun

__all__ = ["Logged"]

Numbers = list[int | None]  # of trials, in the order of their rows; None for rows of other things


class Logged:
    """The rows of a W&B run, in a file.

    Args:
        file: where they are noted.
        run: the run, not yet begun.
    """

    def __init__(self, file: Path, run: WandbRun) -> None:
        self.file, self.run = file, run
        self.kept: Numbers = []  # by processes that ended in good order
        self.new: Numbers = []  # by this one
        with suppress(OSError, ValueError):  # there is no file yet
            self.kept, self.new = json.loads(file.read_text())

    def __contains__(self, number: int) -> bool:
        return number in self.kept or number in self.new

    def begin(self) -> None:
        """Begin the run, and forget the rows of a process that was killed, as far as W&B does not have them."""
        segments = sorted(self.run.segments(), key=lambda segment: segment.name.partition("run-")[2])
        offline = [s for s in segments if s.name.startswith("offline") and not any(s.glob("*.synced"))]
        if self.new and segments and segments[-1] in offline:
            shutil.rmtree(offline.pop())
            self.new = []
        begun: Any = self.run.run
        if begun is None:
            return
        if self.new and not begun.offline and not offline:
            self.new = self.new[: max(begun.starting_step - len(self.kept), 0)]
        self.end()

    def add(self, number: int | None) -> None:
        """Note a row that is about to be logged."""
        self.new.append(number)
        self._write()

    def end(self) -> None:
        """Note that W&B has all rows."""
        self.kept, self.new = self.kept + self.new, []
        self._write()

    def _write(self) -> None:
        with written(self.file) as partial:
            partial.write_text(json.dumps([self.kept, self.new]))
