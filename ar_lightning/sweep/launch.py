"""`run.py sweep`: starts the workers, shows what they do, and reports at the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from optuna.study import Study, load_study
from rich.console import Console

from ar_lightning.core.errors import INTERRUPTED, UserError
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.journal import JOURNAL, mend_journal
from ar_lightning.sweep.report.live import LiveTable
from ar_lightning.sweep.report.summary import summary
from ar_lightning.sweep.report.write import write_report
from ar_lightning.sweep.slots import Slot, scrubbed, slots_of
from ar_lightning.sweep.storage import open_storage, patiently, shown
from ar_lightning.sweep.study import baseline_of, join
from ar_lightning.sweep.wandb import Chronicle

__all__ = ["launch", "report"]

WORKER = [sys.executable, "-m", "ar_lightning.sweep.worker"]
POLL = 0.5  # seconds
RESTARTS = 3  # of a worker that was killed
GRACE = 25.0  # seconds for workers to end what they run


def launch(sweep: Sweep) -> int:
    """Run a sweep on this machine until its total is met; return the exit code.

    The same call goes on with a sweep that was interrupted, and joins one that runs on other machines.

    Raises:
        UserError: the storage or the devices are not there, or the study is another one; nothing has been started.
    """
    accelerator = sweep.config_of({})["trainer"]["accelerator"]
    slots = slots_of(accelerator, sweep.devices, sweep.devices_per_trial, sweep.workers)
    _make(sweep.folder)
    _keep_password(sweep)
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
    chronicle = Chronicle.of(sweep, study)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what batch systems send first; as Ctrl-C
    crew = Crew(sweep, slots)
    try:
        with LiveTable(sweep.study, sweep.objectives, sweep.trials, len(slots)) as table:
            while crew.is_working():
                _look(study, table, chronicle)
                time.sleep(POLL)
            _look(study, table, chronicle)
        interrupted = False
    except KeyboardInterrupt:
        print("\nstopping the trials; they go on with the same command. Once more stops at once.", flush=True)
        interrupted = True
    finally:
        crew.end()
    files = write_report(study, sweep.folder)
    if chronicle is not None:
        chronicle.finish(files)
    Console().print(summary(study, files))
    if interrupted:
        return INTERRUPTED
    crew.complain()
    return 0


def report(sweep: Sweep, folder: Path) -> None:
    """Write what there is to say about a sweep into its directory, and print it.

    Raises:
        UserError: the storage is not there, or does not have the study.
    """
    storage = open_storage(sweep.storage_url, folder)
    try:
        study = load_study(study_name=sweep.study, storage=storage)
    except KeyError:
        raise UserError(f"{folder}: there is no study {sweep.study} in {shown(sweep.storage_url)}") from None
    Console().print(summary(study, write_report(study, folder)))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"sweep_dir={folder}: {error.strerror}; name another directory") from None


def _keep_password(sweep: Sweep) -> None:
    """Move a password from the URL, which is written to a file, to the environment, where PostgreSQL looks too."""
    if "${" not in sweep.storage and (password := urlsplit(sweep.storage).password):
        os.environ["PGPASSWORD"] = unquote(password)
        sweep.storage = sweep.storage.replace(f":{password}@", "@", 1)


def _announce(sweep: Sweep, slots: list[Slot]) -> None:
    places = [f"GPU {slot.gpus}" if slot.gpus else f"CPU, {slot.threads} threads" for slot in slots]
    print(f"sweep {sweep.study}: {sweep.config}, {len(slots)} workers ({'; '.join(dict.fromkeys(places))})")
    if sweep.baseline and sweep.sampler["name"] != "grid":
        try:
            baseline_of(sweep)
        except ValueError as error:
            print(f"the config's own values are not among the trials: {error} is not in the space")
    print(f"everything is in {sweep.folder}", flush=True)


def _look(study: Study, table: LiveTable, chronicle: Chronicle | None) -> None:
    trials = patiently(lambda: study.get_trials(deepcopy=False))
    table.update(trials, time.time())
    if chronicle is not None:
        chronicle.follow(trials)


class Crew:
    """The workers of this machine.

    Args:
        sweep: the sweep, saved in its directory.
        slots: one worker works in each.
    """

    def __init__(self, sweep: Sweep, slots: list[Slot]) -> None:
        self.folder = sweep.folder
        (self.folder / "workers").mkdir(exist_ok=True)
        self.until = ["--until", str(time.time() + sweep.hours * 3600)] if sweep.hours else []
        self.slots = slots
        self.restarts = [0] * len(slots)
        self.workers = [self._start(i) for i in range(len(slots))]

    def is_working(self) -> bool:
        """Whether any worker works; one that was killed is replaced."""
        for i, worker in enumerate(self.workers):
            if (worker.poll() or 0) < 0 and self.restarts[i] < RESTARTS:
                self.restarts[i] += 1
                self.workers[i] = self._start(i)
        return any(worker.poll() is None for worker in self.workers)

    def end(self) -> None:
        """Ask the workers to end; kill those that do not, and with them their trials."""
        for worker in self.workers:
            worker.terminate()
        deadline = time.monotonic() + GRACE
        with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            for worker in self.workers:
                worker.wait(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def complain(self) -> None:
        """Raise what made a worker give up.

        Raises:
            UserError: what its log says last.
        """
        for i, worker in enumerate(self.workers):
            if worker.returncode not in (0, INTERRUPTED):
                lines = self._log(i).read_text(errors="replace").strip().splitlines() or ["it was killed"]
                raise UserError(f"worker {i}: {lines[-1].removeprefix('error: ')}; see {self._log(i)}")

    def _log(self, i: int) -> Path:
        return self.folder / "workers" / f"{socket.gethostname()}-{i}.log"

    def _start(self, i: int) -> subprocess.Popen[Any]:
        """Start a worker in a session of its own: Ctrl-C reaches the launcher only, which ends them in good order."""
        slot = json.dumps(vars(self.slots[i]))
        with self._log(i).open("ab") as log:
            return subprocess.Popen(
                [*WORKER, str(self.folder), "--slot", slot, *self.until], env=scrubbed(_environment()),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip


def _environment() -> dict[str, str]:
    """Return the environment, in which workers find this package wherever the launcher found it."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}
