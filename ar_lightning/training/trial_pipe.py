"""A trial's side of the pipe to its worker: it reports values, hears whether to go on, and dies with the worker.

The worker names two file descriptors in AR_LIGHTNING_TRIAL and starts the trial as the leader of its own process group.
Lines of JSON go both ways. The imports are light: a trial attaches before it imports PyTorch.
"""

import json
import os
import signal
import threading
import time
from queue import SimpleQueue
from typing import Any, NamedTuple

__all__ = ["METRICS", "VARIABLE", "TrialPipe", "attach", "is_trial"]

VARIABLE = "AR_LIGHTNING_TRIAL"
ORPHAN_POLL = 1.0  # seconds


class Metric(NamedTuple):
    """A possible objective: its unit, and whether it is known after every validation."""

    unit: str
    each_epoch: bool


METRICS = {
    "val/bpd": Metric("bits/dim", True),
    "val/nll": Metric("nats per example", True),
    "train/bpd": Metric("bits/dim", True),
    "train/nll": Metric("nats per example", True),
    "parameters": Metric("", False),
    "seconds_training": Metric("s", False),
    "examples_per_second": Metric("1/s", False),
    "samples_per_second": Metric("1/s", False),
}


def is_trial() -> bool:
    """Return whether this process belongs to a trial of a sweep."""
    return VARIABLE in os.environ


def attach(rank: int) -> "TrialPipe | None":
    """Tie this process to its worker; only rank 0 of a trial has a pipe.

    The other ranks are children of rank 0, and die with it: no process of a dead trial keeps holding a GPU.
    """
    if not is_trial():
        return None
    # What a shell starts in the background ignores it, and so would a trial that is asked to end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if rank:
        threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
        return None
    return TrialPipe(*map(int, os.environ[VARIABLE].split(",")))


class TrialPipe:
    """Lines of JSON to and from the worker, by file descriptors; the end of `read` means that the worker is gone."""

    def __init__(self, read: int, write: int) -> None:
        for descriptor in (read, write):
            os.set_inheritable(descriptor, False)  # or a process that this one leaves behind would keep them open
        self._read = os.fdopen(read, "r")
        self._write = os.fdopen(write, "w", buffering=1)
        self._verdicts: SimpleQueue[dict[str, Any]] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def report(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Send the metrics after a validation; wait for the answer, and return whether to stop."""
        self._send({"epoch": epoch, "metrics": metrics})
        return bool(self._verdicts.get()["prune"])

    def finish(self, state: str, epochs: int, metrics: dict[str, float]) -> None:
        """Send the outcome: `complete` or `pruned`."""
        self._send({"state": state, "epochs": epochs, "metrics": metrics})

    def _send(self, message: dict[str, Any]) -> None:
        self._write.write(json.dumps(message) + "\n")

    def _listen(self) -> None:
        for line in self._read:
            self._verdicts.put(json.loads(line))
        _kill_group()


def _die_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_POLL)
    os._exit(1)


def _kill_group() -> None:
    """Kill this process and its children at once."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)  # not the leader of a group: nobody else may be killed
