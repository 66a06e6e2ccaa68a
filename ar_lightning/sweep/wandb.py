"""The sweep's own run on W&B: what its trials gave, one after another, and what came of it all.

Every launcher keeps one, those on other machines their own. It goes on where an interrupted one ended.
"""

import fcntl
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.logged import Logged
from ar_lightning.sweep.report.outcomes import best_first, duration, ran
from ar_lightning.sweep.report.views import importances, of_objective
from ar_lightning.sweep.study import is_counted, outcome_of
from ar_lightning.tracking.wandb_mode import wandb_mode
from ar_lightning.tracking.wandb_run import WandbRun

__all__ = ["Chronicle"]

AXIS = "trial"
PATIENCE = 90.0  # seconds to upload the rest
Row = dict[str, Any]


class Chronicle:
    """Records a sweep on W&B from a thread of its own, so that nothing waits for a server.

    Args:
        study: its study.
        metrics: those of the objectives.
        total: trials to finish; None if there is no such number.
        run: the W&B run, not yet begun.
        folder: where it is kept, held by `lock` against other launchers on this machine.
    """

    def __init__(
        self, study: Study, metrics: Sequence[str], total: int | None, run: WandbRun, folder: Path, lock: IO[str]
    ) -> None:
        self.study, self.metrics, self.total, self.run = study, metrics, total, run
        self._lock = lock
        self._logged = Logged(folder / "logged.json", run)
        self._finished = 0
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, sweep: Sweep, study: Study) -> "Chronicle | None":
        """Begin the record of a sweep, or go on with it; None where W&B is disabled or it is already kept.

        Raises:
            UserError: WANDB_MODE is no mode.
        """
        tracking = sweep.config_of({})["tracking"]
        mode = wandb_mode(tracking["mode"])
        if mode == "disabled":
            return None
        host = socket.gethostname()
        folder = sweep.folder / "wandb" / host
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder / "lock")
        except OSError as error:
            print(f"W&B: the sweep itself is not recorded ({folder}: {error.strerror})")
            return None
        if lock is None:
            print(f"W&B: another process on this machine records the sweep {sweep.study}")
            return None
        searched = {"sampler": sweep.sampler, "pruner": sweep.pruner, "trials": sweep.trials}
        start = {
            "id": f"{sweep.study}-sweep-{host}", "project": tracking["project"], "entity": tracking["entity"],
            "name": f"{sweep.study}/sweep", "group": sweep.study, "job_type": "sweep",
            "tags": [*tracking["tags"], "sweep"], "config": {**sweep.definition, **searched},
            "settings": {"console": "off"},  # the live table is no log
        }  # fmt: skip
        metrics = [objective["metric"] for objective in sweep.objectives]
        run = WandbRun(folder, mode, start, print, AXIS, "sweep")
        return cls(study, metrics, sweep.trials, run, folder, lock)

    def follow(self, trials: list[FrozenTrial]) -> None:
        """Record the trials that have finished since the last call.

        Args:
            trials: all of the study.
        """
        finished = sum(t.state.is_finished() for t in trials)
        if finished != self._finished:
            self._finished = finished
            self._jobs.put(partial(self._record, trials))

    def finish(self, files: dict[str, Path]) -> None:
        """Record what came of the sweep and end the W&B run.

        Args:
            files: the report: pictures are shown, the others uploaded.
        """
        self._jobs.put(partial(self._conclude, files))
        self._jobs.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            print("W&B: the record of the sweep could not be finished in time; the sweep is not affected")
        self._lock.close()

    def _work(self) -> None:
        """Do one job after another; the first is to begin the run."""
        self.run.attempt("start", self._logged.begin)
        for job in iter(self._jobs.get, None):
            self.run.attempt("record the sweep", job)
        self.run.attempt("finish", self.run.finish)
        if not self.run.failed:
            self.run.attempt("note the end", self._logged.end)

    def _record(self, trials: list[FrozenTrial]) -> None:
        for number, row in _history(trials, self.study, self.metrics):
            if number not in self._logged:
                self._log("log a trial", partial(dict, row), number, number)

    def _log(self, action: str, row: Callable[[], Row], x: float, number: int | None = None) -> None:
        """Log a row, of a trial where a number is given; while W&B does not work, leave it to the next time."""
        if self.run.run is not None and not self.run.failed:
            self._logged.add(number)
            self.run.log(action, row, x)

    def _conclude(self, files: dict[str, Path]) -> None:
        trials = self.study.get_trials(deepcopy=False)
        self._record(trials)
        weights = self._importances()
        last = max((t.number for t in trials), default=0)
        self._log("log the table of trials", lambda: {"trials": _table(ran(trials), self.metrics)}, last)
        pictures = {f"plots/{path.stem}": path for path in files.values() if path.suffix == ".png"}
        self._log("log the plots", lambda: {key: _picture(path) for key, path in pictures.items()}, last)
        for path in files.values():
            if path.suffix != ".png" and path.is_file():
                self.run.attempt("upload the report", partial(self._save, path))
        is_done = sum(map(is_counted, trials)) >= (self.total or 0)
        state = {"state": "complete" if is_done else "interrupted"}  # instead of the last trial's
        self.run.summarise({**_summary(trials, self.study, self.metrics), **weights, **state})

    def _importances(self) -> Row:
        """Return what each parameter matters for each metric; nothing where that cannot be computed."""
        try:
            return {
                f"importance/{metric}/{name}": weight
                for i, metric in enumerate(self.metrics)
                for name, weight in importances(of_objective(self.study, i)).items()
            }
        except Exception as error:  # of Optuna's evaluator: a sweep does not end with it
            print(f"W&B: no importances of the parameters ({str(error).partition(chr(10))[0]})")
            return {}

    def _save(self, path: Path) -> None:
        if run := self.run.run:
            run.save(str(path.absolute()), base_path=str(path.absolute().parent), policy="now")


def _history(trials: list[FrozenTrial], study: Study, metrics: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Yield the number and the row of each finished trial, in the order they finished, with the best until then."""
    best: dict[str, FrozenTrial] = {}
    finished = [t for t in ran(trials) if t.state.is_finished()]
    for trial in sorted(finished, key=lambda t: (t.datetime_complete, t.number)):
        row = {"state": outcome_of(trial), "seconds": duration(trial), **_attributes(trial, "epochs", "reason")}
        if trial.state is TrialState.COMPLETE:
            row |= {f"value/{metric}": value for metric, value in zip(metrics, trial.values, strict=True)}
            best = _best([trial, *best.values()], study, metrics)
        row |= _best_values(best, metrics) | {f"params/{name}": value for name, value in trial.params.items()}
        yield trial.number, row


def _best(trials: list[FrozenTrial], study: Study, metrics: Sequence[str]) -> dict[str, FrozenTrial]:
    """Return the best trial by each metric."""
    ranked = [best_first(trials, direction, i) for i, direction in enumerate(study.directions)]
    return {metric: first[0] for metric, first in zip(metrics, ranked, strict=True) if first}


def _best_values(best: dict[str, FrozenTrial], metrics: Sequence[str]) -> Row:
    return {f"best/{metric}": trial.values[metrics.index(metric)] for metric, trial in best.items()}


def _summary(trials: list[FrozenTrial], study: Study, metrics: Sequence[str]) -> Row:
    """Return the best value and trial by each metric, and how many trials ended how."""
    best = _best(trials, study, metrics)
    numbers = {f"best_trial/{metric}": trial.number for metric, trial in best.items()}
    counts = {f"trials/{outcome}": count for outcome, count in Counter(map(outcome_of, ran(trials))).items()}
    return {**_best_values(best, metrics), **numbers, **counts}


def _table(trials: list[FrozenTrial], metrics: Sequence[str]) -> Any:
    """Return a W&B table with a row for each trial."""
    import wandb

    names = list(dict.fromkeys(name for t in trials for name in t.params))
    table = wandb.Table(["trial", "state", *metrics, *names, "seconds", "run", "reason"], allow_mixed_types=True)
    for t in trials:
        values = t.values or [None] * len(metrics)
        params = [t.params.get(name) for name in names]
        table.add_data(
            t.number, outcome_of(t), *values, *params, duration(t), t.user_attrs.get("run"), t.user_attrs.get("reason")
        )
    return table


def _picture(path: Path) -> Any:
    import wandb

    return wandb.Image(str(path))


def _attributes(trial: FrozenTrial, *names: str) -> Row:
    return {name: trial.user_attrs[name] for name in names if name in trial.user_attrs}


def _lock(file: Path) -> IO[str] | None:
    """Return the open file, locked for as long as this process lives; None if another has locked it."""
    opened = file.open("w")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        return None
    except OSError:  # a file system without locks
        return opened
    return opened
