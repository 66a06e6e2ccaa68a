"""Sweeps whose trials are stubs, for tests: started in processes of their own, watched, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from ar_lightning.sweep.definition import saved_sweep
from ar_lightning.sweep.storage import open_storage
from ar_lightning.sweep.study import NEVER_RAN, is_first_of_its_claim, outcome_of
from tests.support.commands import ROOT

SPACE = {"optimizer.lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}}
PATIENCE = 60.0  # seconds for anything that should take a few, on a busy machine


@dataclass
class Sweeping:
    """A sweep in a folder: its file, and the processes that work on it."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    program: tuple[str, ...] = ("-m", "tests.support.stub_sweep")
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(self, *overrides: str, **env: str) -> subprocess.Popen[str]:
        """Start `run.py sweep` in a session of its own, as a terminal would: Ctrl-C is not ignored."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        content = {
            "config": str(ROOT / "conf" / "nade.yaml"), "study": "s", "trials": 6, "workers": 2, "lease": 5.0,
            "sweep_dir": str(self.out), "space": SPACE, "pruner": "none",
            "overrides": ["tracking.mode=disabled"], **self.settings,
        }  # fmt: skip
        (self.folder / "sweep.yaml").write_text(json.dumps(content))
        process = subprocess.Popen(
            [sys.executable, *self.program, "sweep", "--config", str(self.folder / "sweep.yaml"), *overrides],
            cwd=ROOT, env={**os.environ, **env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, *overrides: str, **env: str) -> str:
        """Run the sweep to its end, which must be a good one; return what it printed."""
        return ended(self.start(*overrides, **env))

    def study(self) -> Study:
        sweep = saved_sweep(self.out)
        return optuna.load_study(study_name=sweep.study, storage=open_storage(sweep.storage_url, self.out))

    def trials(self) -> list[FrozenTrial]:
        """Return the trials, without those that several workers began or queued at once: of these one runs."""
        trials = self.study().get_trials(deepcopy=False)
        return [t for t in trials if outcome_of(t) not in NEVER_RAN and is_first_of_its_claim(t, trials)]

    def outcomes(self) -> list[str]:
        return [outcome_of(t) for t in self.trials()]

    def traces(self) -> list[dict[str, Any]]:
        """What the trials noted, in order."""
        file = self.out / "traces.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def workers(self) -> list[int]:
        """Process ids of the workers that live."""
        return [pid for pid, line in command_lines() if "worker" in line and str(self.out) in line]

    def children(self) -> list[int]:
        """Process ids of the trials that live, and of what they started."""
        return [pid for pid, line in command_lines() if str(self.out / "trials") in line]

    def end(self) -> None:
        """Leave nothing behind."""
        for process in self.processes:
            process.kill()
        for pid in self.workers() + self.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == code, output
    return output


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def command_lines() -> Iterator[tuple[int, str]]:
    """Yield the processes that live, with their command lines."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if line and (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                yield int(folder.name), line


def assert_none_ran_twice_at_once(traces: list[dict[str, Any]]) -> None:
    """No two processes trained in the same run directory at the same time: their traces do not interleave."""
    for run in {t["run"] for t in traces}:
        pids = [t["pid"] for t in traces if t["run"] == run]
        changes = sum(a != b for a, b in pairwise(pids))
        assert changes == len(set(pids)) - 1, f"run {run} was trained by several at once"
