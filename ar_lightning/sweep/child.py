"""A trial as the worker sees it: a process group, a log, and a pipe in each direction."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ar_lightning.training.trial_pipe import VARIABLE

__all__ = ["Child", "last_line"]


class Child:
    """Starts a command in its own process group; its output is appended to the log."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        reports, its_write = os.pipe()
        its_read, verdicts = os.pipe()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env={**env, VARIABLE: f"{its_read},{its_write}"}, pass_fds=(its_read, its_write),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        os.close(its_read)
        os.close(its_write)
        self._reports = os.fdopen(reports, "r")
        self._verdicts = os.fdopen(verdicts, "w", buffering=1)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages of the trial until it ends."""
        with suppress(json.JSONDecodeError):  # a process that is killed may leave half a line
            for line in self._reports:
                yield json.loads(line)

    def answer(self, *, prune: bool) -> None:
        """Answer a report."""
        with suppress(BrokenPipeError):  # it has just died: its messages end
            self._verdicts.write(json.dumps({"prune": prune}) + "\n")

    def stop(self) -> None:
        """Ask the trial to end."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End the trial and every process it started, at once."""
        self._signal(signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the trial, then kill it and all processes it started; return the exit code."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()
        code = self.process.wait()
        for end in (self._reports, self._verdicts):
            with suppress(BrokenPipeError):
                end.close()
        return code

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def last_line(log: Path, nothing: str) -> str:
    """Return the last line of a log; `nothing` if it is empty."""
    return (log.read_text(errors="replace").strip().splitlines() or [nothing])[-1].strip()
