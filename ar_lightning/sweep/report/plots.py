"""Pictures of a study, drawn by Optuna: how it went, what mattered, and where the good trials are.

Changed here is what Optuna leaves to its users: names and units, log axes, crowded labels, outliers, a thousand
curves, and spaces in which not every trial has every parameter.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from ar_lightning.core.files import written
from ar_lightning.media.plots import BEST, MANY, fit_most, plain_log, styled
from ar_lightning.sweep.report.outcomes import baseline, best_first, metrics_of, value_text, with_unit
from ar_lightning.sweep.report.space_plots import importance_plot, parallel_plot, slice_plot
from ar_lightning.sweep.report.views import NothingToShowError, branches, complete_trials, is_lower_better, of_objective

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_plots"]

COMPLETE, PRUNED, RUNNING = "tab:blue", "0.65", "tab:green"
DPI = 120
LABEL = 0.22  # inches that a trial's number takes


def write_plots(study: Study, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Draw what there is to see of a study.

    Args:
        study: the study, with its definition.
        folder: where the PNG files go.

    Returns:
        The files, and the reasons why others are missing, both by kind of picture.
    """
    files: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for kind, draw in _pictures(study):
        path = folder / f"{re.sub('[^A-Za-z0-9_]+', '-', kind)}.png"
        try:
            with _canvas(), written(path, shared=True) as unfinished:
                draw().savefig(unfinished, format="png", dpi=DPI, bbox_inches="tight")
            files[kind] = path
        except NothingToShowError as reason:
            path.unlink(missing_ok=True)  # of an earlier report
            missing[kind] = str(reason)
    return files, missing


@contextmanager
def _canvas() -> Iterator[None]:
    """Let Optuna draw with pyplot, and leave pyplot as it was."""
    os.environ.setdefault("MPLBACKEND", "agg")
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    with plt.rc_context(), plt.ioff(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")  # of one value
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)


def _pictures(study: Study) -> Iterator[tuple[str, "partial[Figure]"]]:
    """Yield the kinds of pictures, and how each is drawn."""
    metrics = metrics_of(study)
    for i, metric in enumerate(metrics):
        view = of_objective(study, i)
        of = f" {metric}" if len(metrics) > 1 else ""
        yield f"history{of}", partial(_history, view, metric)
        yield f"importances{of}", partial(importance_plot, view, metric)
        yield f"slices{of}", partial(slice_plot, view, metric)
        for branch, part in branches(view).items():
            name = f"parallel coordinates {branch}".strip()
            yield f"{name}{of}", partial(parallel_plot, view, part, branch, metric)
        if len(metrics) == 1:
            yield "intermediate values", partial(_intermediate, view, metric)
    if len(metrics) > 1:
        yield "pareto front", partial(_pareto, study, metrics)


def _history(study: Study, metric: str) -> "Figure":
    """Value over trial: each, the best so far, and the config's own as a line."""
    from optuna.visualization.matplotlib import plot_optimization_history

    trials = complete_trials(study, at_least=1)
    axes: Any = plot_optimization_history(study, target_name=with_unit(metric))
    figure = styled(axes, f"{study.study_name}: {len(trials)} complete trials", (8, 4.5))
    size = 36 if len(trials) < MANY else 10
    axes.collections[0].set(label="complete", sizes=[size])
    axes.lines[0].set(label="best so far", drawstyle="steps-post", alpha=1, color=BEST)
    values = [t.values[0] for t in trials]
    pruned = [t for t in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)) if t.intermediate_values]
    last = [t.intermediate_values[t.last_step] for t in pruned if t.last_step is not None]
    if pruned:
        axes.scatter([t.number for t in pruned], last, size, PRUNED, marker="x", label="pruned, when it was stopped")
    if own := baseline(trials):
        label = f"the config's own values: {value_text(own.values[0])}"
        axes.axhline(own.values[0], color="black", linestyle="--", linewidth=1, label=label)
    axes.set(xlabel="trial")
    fit_most(axes, values + last, is_lower_better(study))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.get_legend().remove()
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _intermediate(study: Study, metric: str) -> "Figure":
    """Value over epoch, a curve for each trial."""
    from optuna.visualization.matplotlib import plot_intermediate_values

    colours = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.RUNNING: RUNNING}
    trials = [t for t in study.get_trials(deepcopy=False, states=tuple(colours)) if t.intermediate_values]
    if not trials:
        raise NothingToShowError("no trial has reported a value")
    axes: Any = plot_intermediate_values(study)  # draws these trials, in this order
    figure = styled(axes, f"{study.study_name}: {len(trials)} trials", (8, 4.5))
    axes.set(xlabel="epoch", ylabel=with_unit(metric))
    best = next(iter(best_first(trials, study.directions[0])), None)
    own, thin = baseline(trials), len(trials) >= MANY
    seen = set()
    for trial, line in zip(trials, axes.lines, strict=True):
        label = trial.state.name.lower()
        line.set(color=colours[trial.state], alpha=0.35 if thin else 0.7, linewidth=0.6 if thin else 1.2)
        if trial is own:
            label = "the config's own values"
            line.set(color="black", linestyle="--", alpha=1, linewidth=1.5, zorder=3)
        if trial is best:
            label = f"the best, trial {trial.number}{', ' + label if trial is own else ''}"
            line.set(color=BEST, alpha=1, linewidth=2, zorder=4)
        line.set_label(f"_{label}" if label in seen else label)  # a legend has one entry of a kind
        line.set_marker("" if thin or len(trial.intermediate_values) > 40 else ".")
        seen.add(label)
    fit_most(axes, [v for t in trials for v in t.intermediate_values.values()], is_lower_better(study), "points")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if legend := axes.get_legend():
        legend.remove()
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def _pareto(study: Study, metrics: list[str]) -> "Figure":
    """One objective over the other."""
    from optuna.visualization.matplotlib import plot_pareto_front

    trials = complete_trials(study, at_least=2)
    axes: Any = plot_pareto_front(study, target_names=[with_unit(metric) for metric in metrics])
    figure = styled(axes, f"{study.study_name}: {len(trials)} complete trials", (8, 5))
    for dots in axes.collections:
        is_front = str(dots.get_label()).startswith("Best")
        dots.set(label="Pareto front" if is_front else "dominated", sizes=[36 if is_front else 16])
    for i, axis in enumerate((axes.xaxis, axes.yaxis)):
        values = [t.values[i] for t in trials]
        if min(values) > 0 and max(values) > 30 * min(values):
            (axes.set_xscale if i == 0 else axes.set_yscale)("log")
            plain_log(axis)
    # Where nothing is: the side on which a trial would be better in both.
    towards = [-8 if direction is StudyDirection.MINIMIZE else 8 for direction in study.directions]
    figure.draw_without_rendering()  # where the dots are is known now
    placed: list[Any] = []
    for trial in sorted(study.best_trials, key=lambda t: t.values):
        at = axes.transData.transform(trial.values)
        if all(np.abs(at - other).max() > LABEL * figure.dpi for other in placed):
            placed.append(at)
            axes.annotate(str(trial.number), trial.values, towards, ha="center", textcoords="offset points", fontsize=8)
    axes.get_legend().remove()
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
