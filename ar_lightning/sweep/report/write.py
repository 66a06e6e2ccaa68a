"""The report of a sweep: the best config, a table of the trials, pictures, and a summary.

All of it is a function of the study: it can be written again at any time, also while the sweep runs.
"""

import csv
import shlex
from io import StringIO
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.config.resolve import resolve, save_config
from ar_lightning.core.files import written
from ar_lightning.core.program import program
from ar_lightning.sweep.report.outcomes import best_first, current, duration, metrics_of, ran, with_unit
from ar_lightning.sweep.report.plots import write_plots
from ar_lightning.sweep.report.summary import summary
from ar_lightning.sweep.study import outcome_of
from ar_lightning.tracking.console import console

__all__ = ["write_report"]


def write_report(study: Study, folder: Path) -> dict[str, Path]:
    """Write the report of a study into a folder, each file in one step over an earlier one; return the files by kind.

    `best.yaml` is the config of the best trial, if one is complete, `pareto/` has the configs of the Pareto front of
    two objectives, `trials.csv` a row for each trial, `plots/` the pictures, `report.txt` the summary.
    """
    trials = ran(study.get_trials(deepcopy=False))
    files = {"trials as a table": folder / "trials.csv"}
    _write_table(study, trials, files["trials as a table"])
    ranked = best_first(trials, study.directions[0])
    if ranked:
        files = {"best config": folder / "best.yaml", **files}
        _write_config(study, ranked[0], files["best config"])
    if len(study.directions) > 1:
        files |= _write_front(study, folder / "pareto")
    plots, missing = write_plots(study, folder / "plots")
    files |= plots
    text = StringIO()
    console(file=text, width=100).print(summary(study, files))
    text.writelines(f"no picture of {kind}: {reason}\n" for kind, reason in missing.items())
    files["report"] = folder / "report.txt"
    with written(files["report"]) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
    return files


def _write_config(study: Study, trial: FrozenTrial, path: Path) -> None:
    """Write the complete config of a trial, with a comment that names the trial."""
    definition = study.user_attrs["definition"]
    name = f"trial {trial.number} of {study.study_name}"
    config = resolve(definition["base"], trial.user_attrs["settings"], name)
    config |= {"experiment": study.study_name, "run_dir": None}
    values = zip(metrics_of(study), trial.values, strict=True)
    several = len(study.directions) > 1
    rank = f"the best by {metrics_of(study)[0]}, one of several; pareto/ has all" if several else "the best"
    role = rank if path.name == "best.yaml" else "on the Pareto front: none is better in both"
    comment = [
        f"Trial {trial.number} of the sweep {study.study_name}, {role}.",
        *(f"{with_unit(metric)}: {float(value)!r}" for metric, value in values),
        f"Ended {trial.datetime_complete:%Y-%m-%d %H:%M}; based on {definition['config']}.",
        f"{program()} --config {shlex.quote(str(path))}",
    ]
    with written(path) as partial:
        save_config(config, partial)
        head = "".join(f"# {' '.join(line.splitlines())}\n" for line in comment)
        partial.write_text(head + partial.read_text(encoding="utf-8"), encoding="utf-8")


def _write_front(study: Study, folder: Path) -> dict[str, Path]:
    """Write the configs of the Pareto front, and remove those of an earlier one."""
    front = {folder / f"{t.number:04d}.yaml": t for t in sorted(study.best_trials, key=lambda t: t.number)}
    for path, trial in front.items():
        _write_config(study, trial, path)
    for path in folder.glob("[0-9]*.yaml"):
        if path not in front:
            path.unlink()
    return {"Pareto configs": folder} if front else {}


def _write_table(study: Study, trials: list[FrozenTrial], path: Path) -> None:
    """Write a row for each trial that ran."""
    metrics = metrics_of(study)
    rows = [_row(trial, metrics) for trial in trials]
    params = sorted({name for t in trials for name in t.params})
    others = sorted({name for t in trials for name in t.user_attrs.get("metrics", {})} - set(metrics))
    columns = ["number", "state", *metrics, "epochs", "seconds", *params, "retry_of", "run", "reason", *others]
    with written(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(columns)))
        writer.writeheader()
        writer.writerows(rows)


def _row(trial: FrozenTrial, metrics: list[str]) -> dict[str, Any]:
    attributes = trial.user_attrs
    values = trial.values if trial.state is TrialState.COMPLETE else [current(trial)] * len(metrics)
    seconds = duration(trial)
    return attributes.get("metrics", {}) | trial.params | dict(zip(metrics, values, strict=True)) | {
        "number": trial.number,
        "state": outcome_of(trial),
        "epochs": attributes.get("epochs", trial.last_step),
        "seconds": None if seconds is None else round(seconds, 1),
        "retry_of": " ".join(map(str, attributes.get("retry_of", []))),
        "run": f"trials/{attributes['run']}" if "run" in attributes else None,
        "reason": attributes.get("reason"),
    }  # fmt: skip
