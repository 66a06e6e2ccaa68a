"""A sweep on W&B: a run of its own with all trials, and a word for trials that died before they could say so.

`python -m ar_lightning.sweep.wandb CONFIG RUN_DIR REASON` goes on with the W&B run of a trial, or begins it, and ends
it as failed.
"""

import fcntl
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.report.importances import importances
from ar_lightning.sweep.report.outcomes import best_first, duration, ran
from ar_lightning.sweep.study import is_counted, outcome_of
from ar_lightning.tracking.wandb_mode import wandb_mode
from ar_lightning.tracking.wandb_run import WandbRun, has_ended, training_run

__all__ = ["main", "record_sweep", "report_dead_trial"]

AXIS = "trial"
LONGEST_REASON = 500
Row = dict[str, Any]


def record_sweep(sweep: Sweep, study: Study, files: Mapping[str, Path]) -> None:
    """Log the table of trials and the report of a sweep to W&B; whatever fails there costs one line.

    Every machine has one run for a sweep. A later call goes on with it, and its table takes the place of the earlier
    one: made from the study, it has a row for every trial, whatever was interrupted. Of the report's files, pictures
    are shown, and the others uploaded.
    """
    tracking = sweep.config_of({})["tracking"]
    mode, host = wandb_mode(tracking["mode"]), socket.gethostname()
    if mode == "disabled":
        return
    searched = {"sampler": sweep.sampler, "pruner": sweep.pruner, "trials": sweep.trials}
    start = {
        "id": f"{sweep.study}-sweep-{host}", "project": tracking["project"], "entity": tracking["entity"],
        "name": f"{sweep.study}/sweep", "group": sweep.study, "job_type": "sweep",
        "tags": [*tracking["tags"], "sweep"], "config": {**sweep.definition, **searched},
        "settings": {"console": "off"},  # the live table is no log
    }  # fmt: skip
    folder = sweep.folder / "wandb" / host
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)  # another launcher on this machine may record the same sweep
            run = WandbRun(folder, mode, start, print, AXIS, "sweep")
            run.attempt("record the sweep", lambda: _record(run, sweep, study, files))
    except OSError as error:
        print(f"W&B: the sweep itself is not recorded ({folder}: {error.strerror})")


def _record(run: WandbRun, sweep: Sweep, study: Study, files: Mapping[str, Path]) -> None:
    if run.run is None:
        return
    metrics = [objective["metric"] for objective in sweep.objectives]
    trials = study.get_trials(deepcopy=False)
    run.log("log the report", lambda: _report(ran(trials), metrics, files), max((t.number for t in trials), default=0))
    for path in files.values():
        if path.suffix != ".png" and path.is_file():
            run.run.save(str(path.absolute()), base_path=str(path.absolute().parent), policy="now")
    is_done = sum(map(is_counted, trials)) >= (sweep.trials or 0)
    state = {"state": "complete" if is_done else "interrupted"}
    summary: Row = {f"trials/{outcome}": count for outcome, count in Counter(map(outcome_of, ran(trials))).items()}
    for i, (metric, direction) in enumerate(zip(metrics, study.directions, strict=True)):
        for best in best_first(trials, direction, i)[:1]:
            summary |= {f"best/{metric}": best.values[i], f"best_trial/{metric}": best.number}
        summary |= {f"importance/{metric}/{name}": share for name, share in importances(study, i).items()}
    run.summarise({**summary, **state})
    run.finish()


def _report(trials: list[FrozenTrial], metrics: Sequence[str], files: Mapping[str, Path]) -> Row:
    """Return a W&B table with a row for each trial, and the pictures."""
    import wandb

    names = list(dict.fromkeys(name for t in trials for name in t.params))
    table = wandb.Table(["trial", "state", *metrics, *names, "seconds", "run", "reason"], allow_mixed_types=True)
    for t in trials:
        values = t.values or [None] * len(metrics)
        params = [t.params.get(name) for name in names]
        ended = [duration(t), t.user_attrs.get("run"), t.user_attrs.get("reason")]
        table.add_data(t.number, outcome_of(t), *values, *params, *ended)
    pictures = {f"plots/{p.stem}": wandb.Image(str(p)) for p in files.values() if p.suffix == ".png"}
    return {"trials": table, **pictures}


def report_dead_trial(config: Path, run_dir: Path, reason: str) -> "subprocess.Popen[bytes] | None":
    """Start telling W&B that a trial failed, in a process that nobody has to wait for; return the process.

    None if W&B is disabled or has been told by the trial itself, or if the config is not legal or the disk takes
    nothing.
    """
    with suppress(OSError, UserError):
        disabled = wandb_mode(load_config(config)["tracking"]["mode"]) == "disabled"
        if disabled or has_ended(run_dir):
            return None
        (run_dir / "wandb").mkdir(parents=True, exist_ok=True)
        reason = reason.replace("\0", "")[:LONGEST_REASON]
        command = [sys.executable, "-m", "ar_lightning.sweep.wandb", str(config), str(run_dir), reason]
        with (run_dir / "wandb" / "dead-trial.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
    return None


def main(config: str, run_dir: str, reason: str) -> None:
    """Tell W&B that a trial failed."""
    settings = {**load_config(config), "run_dir": run_dir}
    if run := training_run(Path(run_dir), settings, settings["tracking"], print):
        run.summarise({"state": "failed", "reason": reason})
        run.finish(exit_code=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
