"""Pictures of a study, drawn by Optuna with matplotlib."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import TrialState

from ar_lightning.core.files import written
from ar_lightning.media.plots import plain_text
from ar_lightning.sweep.report.importances import TooLittleError, evaluator, with_pruned_as_worst
from ar_lightning.sweep.report.outcomes import metrics_of, with_unit
from ar_lightning.sweep.study import quiet

__all__ = ["write_plots"]

DPI = 120
MOST_NAMED = 12  # curves that a legend names


def write_plots(study: Study, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Draw all pictures of a study; return the PNG files, and why others are missing, both by kind of picture."""
    files: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for kind, draw in _pictures(study, metrics_of(study)).items():
        path = folder / f"{re.sub('[^A-Za-z0-9_]+', '-', kind)}.png"
        try:
            with _pyplot() as optunas, written(path) as unfinished:
                figure = np.ravel(draw(optunas))[0].figure
                for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
                    if axis.get_scale() == "log":  # Matplotlib writes powers as formulas
                        axis.set_major_formatter("{x:g}")
                        axis.set_minor_formatter("")
                figure.savefig(unfinished, format="png", dpi=DPI, bbox_inches="tight")
            files[kind] = path
        except TooLittleError as reason:
            path.unlink(missing_ok=True)  # of an earlier report
            missing[kind] = str(reason)
    return files, missing


@contextmanager
def _pyplot() -> Iterator[Any]:
    """Yield Optuna's module that draws with pyplot, and leave pyplot as it was."""
    os.environ.setdefault("MPLBACKEND", "agg")
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as optunas

    before = plt.get_fignums()
    with plain_text(), plt.rc_context(), plt.ioff(), warnings.catch_warnings():
        quiet()
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")  # of one value
        try:
            yield optunas
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)


def _pictures(study: Study, metrics: list[str]) -> dict[str, Callable[[Any], Any]]:
    """Return what draws each kind of picture with Optuna's functions, and returns its axes."""
    pictures: dict[str, Callable[[Any], Any]] = {}
    for i, metric in enumerate(metrics):
        several = len(metrics) > 1  # for one, Optuna knows by itself in which direction to draw
        of, target = (f" {metric}", lambda trial, i=i: trial.values[i]) if several else ("", None)
        shown = {"target": target, "target_name": with_unit(metric)}
        pictures[f"history{of}"] = partial(_history, study, shown)
        pictures[f"importances{of}"] = partial(_importances, study, i, metric)
        pictures[f"slices{of}"] = partial(_slices, study, shown)
    pictures["parallel coordinates"] = partial(_parallel_coordinates, study, metrics)
    if len(metrics) == 1:
        return pictures | {"intermediate values": partial(_intermediate_values, study, metrics[0])}
    return pictures | {"pareto front": partial(_pareto_front, study, metrics)}


def _history(study: Study, shown: dict[str, Any], optunas: Any) -> Any:
    """Draw the value of each trial, and the best so far."""
    _searched(study, trials=1, parameters=0)
    axes = optunas.plot_optimization_history(study, **shown)
    axes.set_title(f"{study.study_name}: optimization history")
    return axes


def _importances(study: Study, objective: int, metric: str, optunas: Any) -> Any:
    """Draw a bar for each parameter."""
    ended = with_pruned_as_worst(study, objective)
    names = _searched(ended, trials=0, parameters=2)
    axes = optunas.plot_param_importances(ended, evaluator(), names, target_name=metric)
    axes.set_title(f"{study.study_name}: what sets the best quarter apart", loc="left")
    axes.get_legend().remove()
    return axes


def _slices(study: Study, shown: dict[str, Any], optunas: Any) -> Any:
    """Draw the value over each parameter."""
    drawn = optunas.plot_slice(study, _searched(study, trials=2, parameters=1), **shown)
    panels = np.ravel(drawn)
    for axes in panels:
        axes.tick_params("x", rotation=30)
        axes.tick_params("x", which="minor", labelbottom=False)  # on a log scale they run into each other
    panels[0].figure.suptitle(f"{study.study_name}: values by parameter")
    return panels


def _parallel_coordinates(study: Study, metrics: list[str], optunas: Any) -> Any:
    """Draw a line for each trial through all its parameters, by value; of two objectives, by rank."""
    names = _searched(study, trials=2, parameters=2)
    axes = optunas.plot_parallel_coordinate(study, names, target_name=with_unit(metrics[0]))
    axes.figure.set_size_inches(3 + 1.7 * (len(metrics) + len(names)), 5)
    axes.set_title(f"{study.study_name}: trials by parameter", y=1.03)
    axes.set_xticks(axes.get_xticks(), [*metrics, *names], rotation=20, ha="right")  # whole names
    for twin in axes.figure.axes:
        twin.tick_params("y", which="minor", labelright=False)
    return axes


def _intermediate_values(study: Study, metric: str, optunas: Any) -> Any:
    """Draw the value over the epochs, a curve for each trial."""
    if not any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        raise TooLittleError("no trial has reported a value")
    axes = optunas.plot_intermediate_values(study)
    axes.set(title=f"{study.study_name}: values by epoch", xlabel="epoch", ylabel=with_unit(metric))
    if (legend := axes.get_legend()) and len(axes.lines) > MOST_NAMED:
        legend.remove()
    return axes


def _pareto_front(study: Study, metrics: list[str], optunas: Any) -> Any:
    """Draw one objective over the other."""
    _searched(study, trials=2, parameters=0)
    axes = optunas.plot_pareto_front(study, target_names=[with_unit(metric) for metric in metrics])
    axes.set_title(f"{study.study_name}: Pareto front")
    return axes


def _searched(study: Study, trials: int, parameters: int) -> list[str]:
    """Return the parameters of the complete trials, or raise `TooLittleError`: a picture needs so many of both."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < trials:
        raise TooLittleError(f"needs {trials} complete trial{'s' * (trials > 1)}, has {len(complete)}")
    names = sorted({name for trial in complete for name in trial.params})
    if len(names) < parameters:
        raise TooLittleError(f"needs {parameters} parameters, has {len(names)}")
    return names
