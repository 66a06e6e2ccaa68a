"""A worker of a sweep: asks the study for a trial, runs it as a child process, tells the outcome, again and again.

The launcher starts one for each slot: `python -m ar_lightning.sweep.worker FOLDER '{"gpus": "0", ...}' [UNTIL]`.
"""

import json
import math
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ar_lightning.config.resolve import save_config
from ar_lightning.core.errors import INTERRUPTED, UserError
from ar_lightning.core.files import naming
from ar_lightning.core.output import answered, protected
from ar_lightning.sweep.child import Child, last_line
from ar_lightning.sweep.dead_workers import Watch, queue_again, reap
from ar_lightning.sweep.definition import Sweep, saved_sweep
from ar_lightning.sweep.slots import Slot
from ar_lightning.sweep.space import settings_of, suggest
from ar_lightning.sweep.storage import open_storage, patiently
from ar_lightning.sweep.study import claim, is_counted, join, only_failures, outcome_of, tell
from ar_lightning.sweep.wandb import report_dead_trial

__all__ = ["Worker", "main"]

PAUSE = 0.5  # seconds between looks at the study while there is nothing to run
GRACE = 10.0  # seconds that a trial gets to end by itself
HOPELESS = 5  # failures without any success
Command = Callable[[Path, Path, bool], list[str]]


def command_of(config: Path, run_dir: Path, resume: bool) -> list[str]:
    """Return the command line of a trial."""
    what = ["--resume", str(run_dir)] if resume else ["--config", str(config), f"run_dir={run_dir}"]
    return [sys.executable, "-m", "ar_lightning", "fit", *what]


def failure(reason: str) -> dict[str, Any]:
    """Return the outcome of a failed trial, as a trial reports its own."""
    return {"state": "failed", "reason": reason, "epochs": 0, "metrics": {}}


class Worker:
    """Runs trials in one slot until the sweep is done, and starts none after `until` (`time.time()`)."""

    def __init__(
        self, sweep: Sweep, study: Study, slot: Slot, until: float = math.inf, command: Command = command_of
    ) -> None:
        self.sweep, self.study, self.slot, self.until, self.command = sweep, study, slot, until, command
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.watch = Watch(sweep.lease)
        self.child: Child | None = None
        self.stopping = threading.Event()  # asked to end
        self.fenced = False  # whether the trial that is running may be another worker's by now
        self.parent = os.getppid()

    def run(self) -> int:
        """Work until all trials are done; return the exit code."""
        while not self.stopping.is_set():
            dead = patiently(lambda: reap(self.study, self.watch))
            trials = patiently(lambda: self.study.get_trials(deepcopy=False))
            self._report_dead(trials[t.number] for t in dead)
            if self._is_done(trials):
                return 0
            taken = sum(is_counted(t) or t.state == TrialState.RUNNING for t in trials)
            has_room = taken < (self.sweep.trials or math.inf)  # finished and running trials do not make up the total
            trial = patiently(lambda: claim(self.study, self.sweep.trials)) if has_room else None
            if trial is None:
                self.stopping.wait(PAUSE)
                self._look_at_parent()
            else:
                self._run(trial)
        return INTERRUPTED

    def stop(self, *_: Any) -> None:
        """End the running trial, queue it again, and stop; a signal handler."""
        self.stopping.set()
        if child := self.child:
            child.stop()
            timer = threading.Timer(GRACE, child.kill)
            timer.daemon = True  # the worker itself need not wait for it
            timer.start()

    def _report_dead(self, dead: Iterable[FrozenTrial]) -> None:
        """Tell W&B of trials that are given up; a retry continues the W&B run of its trial."""
        for trial in dead:
            if outcome_of(trial) == "failed" and "run" in trial.user_attrs:
                config, run_dir, _ = self._places(trial.user_attrs["run"])
                report_dead_trial(config, run_dir, "its worker died again and again")

    def _places(self, run: str) -> tuple[Path, Path, Path]:
        """Return the config file, the run directory and the log of a trial."""
        folder = self.sweep.folder / "trials"
        return folder / f"{run}.yaml", folder / run, folder / f"{run}.log"

    def _is_done(self, trials: list[FrozenTrial]) -> bool:
        counted = [t for t in trials if is_counted(t)]
        if len(counted) >= HOPELESS and (reason := only_failures(counted)):
            raise UserError(f"every trial failed, the last with: {reason}")
        return time.time() >= self.until or len(counted) >= (self.sweep.trials or math.inf)

    def _look_at_parent(self) -> None:
        """Stop if the launcher is gone."""
        if os.getppid() != self.parent:
            self.stop()

    def _run(self, trial: Trial) -> None:
        """Run one trial, and renew its lease until it ends."""
        ended = threading.Event()
        pulse = threading.Thread(target=self._pulse, args=(trial, ended), daemon=True)
        pulse.start()
        started, self.fenced = time.monotonic(), False
        with suppress(UpdateFinishedTrialError):  # another worker took this one for dead, and the trial with it
            try:
                outcome = self._train(trial)
            finally:
                ended.set()
                pulse.join()
            patiently(lambda: self._tell(trial, outcome, time.monotonic() - started))

    def _pulse(self, trial: Trial, ended: threading.Event) -> None:
        """Renew the lease; kill the child if that fails for too long, for another worker may take the trial then."""
        renewed = time.monotonic()
        while not ended.is_set():
            try:
                trial.set_user_attr("lease", time.time())
                renewed = time.monotonic()
            except UpdateFinishedTrialError:
                self._abandon()
            except Exception as error:  # whatever it is: a lease that cannot be renewed runs out
                print(f"trial {trial.number}: no sign of life: {error!r}", flush=True)
                if time.monotonic() - renewed > self.sweep.lease / 2:
                    self._abandon()
            self._look_at_parent()
            ended.wait(self.sweep.lease / 5)

    def _abandon(self) -> None:
        self.fenced = True
        if child := self.child:
            child.kill()

    def _train(self, trial: Trial) -> dict[str, Any] | None:
        """Run the training; return its last message, or None if it was cut short."""
        params = patiently(lambda: suggest(self.sweep.space, trial))
        settings = settings_of(self.sweep.space, params)
        settings |= {"trainer.devices": self.sweep.devices_per_trial, "trainer.threads": self.slot.threads}
        run = trial.user_attrs.get("run", f"{trial.number:04d}")
        config, run_dir, log = self._places(run)
        self._note(trial, run=run, worker=self.name, settings=settings)
        resume = (run_dir / "config.yaml").is_file()
        if resume:
            self._report_again(trial)
        else:
            shutil.rmtree(run_dir, ignore_errors=True)  # begun, but not far enough to be resumed
            try:
                complete = self.sweep.config_of({**settings, **self._tracking(run)}, "space")
                self.sweep.check_validated(complete)
                save_config(complete, config)
            except UserError as error:  # values that are legal each, but not together
                return failure(str(error))
        if self.stopping.is_set() or self.fenced:
            return None
        self.child = Child(self.command(config, run_dir, resume), self.slot.environment(os.environ), log)
        if self.stopping.is_set():  # since the look before: the signal found no child
            self.child.stop()
        last: dict[str, Any] | None = None
        for message in self.child.messages():
            if "epoch" in message:
                self.child.answer(prune=self._is_pruned(trial, message))
            else:
                last = message
                break  # what it still does is of no interest, and it may hang
        code = self.child.wait(GRACE if last else None)
        self.child = None
        if last is None and not self.stopping.is_set() and not self.fenced:
            reason = last_line(log, "it said nothing")[:200]
            last = failure(f"{reason} (exit code {code})")
            report_dead_trial(config, run_dir, reason)
        return last

    def _tracking(self, run: str) -> dict[str, Any]:
        """Return the settings that group a trial's W&B run with the sweep."""
        tags = [*self.sweep.base.get("tracking.tags", []), "sweep"]
        return {
            "experiment": self.sweep.study, "tracking.group": self.sweep.study, "tracking.job_type": "trial",
            "tracking.id": f"{self.sweep.study}-{run}", "tracking.name": f"{self.sweep.study}/{run}",
            "tracking.tags": tags,
        }  # fmt: skip

    def _report_again(self, trial: Trial) -> None:
        """Report the values of the attempt before: this one goes on from its last checkpoint."""
        parent = self.study.get_trials(deepcopy=False)[trial.user_attrs["retry_of"][-1]]
        for epoch, value in parent.intermediate_values.items():
            trial.report(value, epoch)

    def _is_pruned(self, trial: Trial, message: dict[str, Any]) -> bool:
        objectives = self.sweep.objectives
        value = message["metrics"].get(objectives[0]["metric"])
        if len(objectives) > 1 or value is None:
            return False
        try:
            patiently(lambda: trial.report(value, message["epoch"]))
        except UpdateFinishedTrialError:
            self._abandon()
            return True
        return bool(patiently(trial.should_prune))

    def _note(self, trial: Trial, **attributes: Any) -> None:
        for key, value in attributes.items():
            patiently(partial(trial.set_user_attr, key, value))

    def _tell(self, trial: Trial, outcome: dict[str, Any] | None, seconds: float) -> None:
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        if outcome is None:
            self._note(trial, outcome="interrupted")
            return queue_again(self.study, frozen, lost=False)
        self._note(trial, seconds=round(seconds, 2), epochs=outcome["epochs"], metrics=outcome["metrics"])
        values = [outcome["metrics"].get(o["metric"]) for o in self.sweep.objectives]
        match outcome["state"]:
            case "complete" if all(value is not None and math.isfinite(value) for value in values):
                tell(self.study, trial.number, TrialState.COMPLETE, values)
            case "pruned":
                tell(self.study, trial.number, TrialState.PRUNED)
            case _:
                missing = f"it ended without a number for {' and '.join(o['metric'] for o in self.sweep.objectives)}"
                self._note(trial, outcome="failed", reason=outcome.get("reason", missing))
                tell(self.study, trial.number, TrialState.FAIL)


def main(folder: str, slot: str, until: str = "inf", *, command: Command = command_of) -> int:
    """Work on the sweep in a folder; return the exit code."""

    def work() -> int:
        sweep = saved_sweep(Path(folder))
        study = join(sweep, open_storage(sweep.storage_url, sweep.folder))
        worker = Worker(sweep, study, Slot(**json.loads(slot)), float(until), command)
        signal.signal(signal.SIGTERM, worker.stop)
        with naming(sweep.folder):  # of its journal, which Optuna does not name
            return worker.run()

    with protected():
        return answered(work)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
