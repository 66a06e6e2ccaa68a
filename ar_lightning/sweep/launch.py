"""Launch a sweep: start the workers, show their trials, and report at the end."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.study import load_study

import ar_lightning
from ar_lightning.core.errors import INTERRUPTED, UserError
from ar_lightning.sweep.child import last_line
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.journal import JOURNAL, mend_journal
from ar_lightning.sweep.report.live import LiveTable
from ar_lightning.sweep.report.summary import summary
from ar_lightning.sweep.report.write import write_report
from ar_lightning.sweep.slots import Slot, scrubbed, slots_of
from ar_lightning.sweep.space import probes
from ar_lightning.sweep.storage import open_storage, patiently, shown, without_password
from ar_lightning.sweep.study import baseline_of, check_study, join, only_failures
from ar_lightning.sweep.wandb import record_sweep
from ar_lightning.tracking.console import console
from ar_lightning.tracking.wandb_mode import wandb_mode

__all__ = ["launch", "report"]

WORKER = [sys.executable, "-m", "ar_lightning.sweep.worker"]
POLL = 0.5  # seconds
RESTARTS = 3  # of a worker that was killed
GRACE = 25.0  # seconds for workers to end what they run


def launch(sweep: Sweep) -> int:
    """Run a sweep on this machine until all its trials are done; return the exit code.

    The same call continues an interrupted sweep, and joins one that runs on other machines.
    """
    accelerator = sweep.config_of({})["trainer"]["accelerator"]
    _check_steps(sweep)
    slots = slots_of(accelerator, sweep.devices, sweep.devices_per_trial, sweep.workers)
    try:
        sweep.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"sweep_dir={sweep.folder}: {error.strerror}; name another directory") from None
    # A password moves from the URL, which is saved, to the environment, where PostgreSQL finds it.
    sweep.storage, password = without_password(sweep.storage)
    if password:
        os.environ["PGPASSWORD"] = password
    if sweep.storage == "journal" and (dropped := mend_journal(sweep.folder / JOURNAL)):
        print(f"the journal ended in half a line, {dropped} bytes: dropped; a copy of the file is beside it")
    try:
        study = join(sweep, open_storage(sweep.storage_url, sweep.folder))
    except UserError:
        with suppress(OSError):  # it is not empty: an earlier sweep's
            sweep.folder.rmdir()
        raise
    sweep.save()
    (sweep.folder / "trials").mkdir(exist_ok=True)
    _announce(sweep, slots)
    wandb_mode(sweep.config_of({})["tracking"]["mode"])  # a misspelt one is answered now
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what batch systems send first; as Ctrl-C
    crew = Crew(sweep, slots)
    try:
        table, working = LiveTable(sweep.study, sweep.objectives, sweep.trials), True
        with table.screen:
            while working:
                working = crew.is_working()
                table.update(patiently(lambda: study.get_trials(deepcopy=False)), time.time())
                time.sleep(POLL)
        interrupted = False
    except KeyboardInterrupt:
        print("\nstopping the trials; they go on with the same command. Once more stops at once.", flush=True)
        interrupted = True
    finally:
        crew.end()
    files = write_report(study, sweep.folder)
    record_sweep(sweep, study, files)
    console().print(summary(study, files))
    if interrupted:
        return INTERRUPTED
    if reason := only_failures(study.get_trials(deepcopy=False)):
        raise UserError(f"every trial failed, the last with: {reason}")
    crew.check_exits()
    return 0


def report(sweep: Sweep, folder: Path) -> None:
    """Write the report of a sweep into its directory, and print the summary."""
    storage = open_storage(sweep.storage_url, folder)
    try:
        study = load_study(study_name=sweep.study, storage=storage)
    except KeyError:
        raise UserError(f"{folder}: there is no study {sweep.study} in {shown(sweep.storage_url)}") from None
    check_study(sweep, study)
    console().print(summary(study, write_report(study, folder)))


def _check_steps(sweep: Sweep) -> None:
    """Refuse trials whose steps end before their first validation; data are read if steps are limited."""
    known: dict[str, int] = {}  # batches of an epoch, by the data
    for settings in probes(sweep.space):
        config = sweep.config_of(settings)
        trainer, section = config["trainer"], config["data"]
        if trainer["max_steps"] is None:
            continue
        if (key := repr(section)) not in known:
            from ar_lightning.config.build import build_data_module, build_dataset

            known[key] = len(build_data_module(config, build_dataset(section)).train_dataloader())
        batches = min(known[key], trainer["limit_train"] or known[key])
        sweep.check_validated(config, -(-batches // trainer["accumulate"]))


def _announce(sweep: Sweep, slots: list[Slot]) -> None:
    places = [f"GPU {slot.gpus}" if slot.gpus else f"CPU, {slot.threads} threads" for slot in slots]
    print(f"sweep {sweep.study}: {sweep.config}, {len(slots)} workers ({'; '.join(dict.fromkeys(places))})")
    if sweep.baseline and sweep.sampler["name"] != "grid":
        try:
            baseline_of(sweep)
        except ValueError as error:
            print(f"the config's own values are not among the trials: {error} is not in the space")
    print(f"everything is in {sweep.folder}", flush=True)


class Crew:
    """The workers of this machine, one in each slot; the sweep is saved in its directory."""

    def __init__(self, sweep: Sweep, slots: list[Slot]) -> None:
        self.folder = sweep.folder
        (self.folder / "workers").mkdir(exist_ok=True)
        self.until = str(time.time() + (sweep.hours or math.inf) * 3600)
        self.slots = slots
        self.restarts = [0] * len(slots)
        self.workers = [self._start(i) for i in range(len(slots))]

    def is_working(self) -> bool:
        """Return whether any worker is running, after replacing those that were killed."""
        for i, worker in enumerate(self.workers):
            if (worker.poll() or 0) < 0 and self.restarts[i] < RESTARTS:
                self.restarts[i] += 1
                self.workers[i] = self._start(i)
        return any(worker.poll() is None for worker in self.workers)

    def end(self) -> None:
        """Ask the workers to end; kill those that do not, and their trials."""
        for worker in self.workers:
            worker.terminate()
        deadline = time.monotonic() + GRACE
        with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            for worker in self.workers:
                worker.wait(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def check_exits(self) -> None:
        """Raise `UserError` if a worker gave up, with what its log says last."""
        for i, worker in enumerate(self.workers):
            if worker.returncode not in (0, INTERRUPTED):
                reason = last_line(self._log(i), "it was killed").removeprefix("error: ")
                raise UserError(f"worker {i}: {reason}; see {self._log(i)}")

    def _log(self, i: int) -> Path:
        return self.folder / "workers" / f"{socket.gethostname()}-{i}.log"

    def _start(self, i: int) -> subprocess.Popen[Any]:
        """Start a worker in its own session: Ctrl-C reaches the launcher alone, which ends the workers in order."""
        slot = json.dumps(vars(self.slots[i]))
        with self._log(i).open("ab") as log:
            return subprocess.Popen(
                [*WORKER, str(self.folder), slot, self.until], env=scrubbed(_environment()),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip


def _environment() -> dict[str, str]:
    """Return the environment of workers, who must find the package also if it runs from a checkout."""
    root = str(Path(ar_lightning.__file__).parents[1])
    path = [root if root != sysconfig.get_path("purelib") else "", os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
