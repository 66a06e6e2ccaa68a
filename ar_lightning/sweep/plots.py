"""Pictures of a study, drawn by Optuna: how it went, what mattered, and where the good trials are.

Changed here is what Optuna leaves to its users: names and units, log axes, crowded labels, outliers, a thousand
curves, and spaces in which not every trial has every parameter.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.files import written
from ar_lightning.sweep.axes import fit_most, plain_log, usual_limit, whiten, wrapped
from ar_lightning.sweep.importances import EVALUATOR, FEWEST, of_objective, of_trials, with_pruned_as_worst
from ar_lightning.sweep.outcomes import baseline, best_first, metrics_of, value_text, with_unit
from ar_lightning.sweep.space import Params, Space, parse_space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_plots"]

BEST, COMPLETE, PRUNED, RUNNING = "tab:red", "tab:blue", "0.65", "tab:green"
MANY = 60  # trials from which on curves are thin and dots are small
COLUMNS = 4  # of panels, one for each parameter
DPI = 120


class NothingToShowError(Exception):
    """A picture would be empty; the message says why."""


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
            with _canvas(), written(path) as partial:
                figure = draw()
                figure.savefig(partial, format="png", dpi=DPI, bbox_inches="tight")
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
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)


def _pictures(study: Study) -> Iterator[tuple[str, "Callable[[], Figure]"]]:
    """Yield the kinds of pictures, and how each is drawn."""
    metrics = metrics_of(study)
    for i, metric in enumerate(metrics):
        view = of_objective(study, i)
        of = f" {metric}" if len(metrics) > 1 else ""
        yield f"history{of}", lambda view=view, metric=metric: _history(view, metric)
        yield f"importances{of}", lambda view=view, metric=metric: _importances(view, metric)
        yield f"slices{of}", lambda view=view, metric=metric: _slices(view, metric)
        for branch, part in _branches(view).items():
            name = f"parallel coordinates {branch}".strip()
            yield f"{name}{of}", lambda part=part, metric=metric, b=branch: _parallel(part, metric, b)
        if len(metrics) == 1:
            yield "intermediate values", lambda: _intermediate(view, metric)
    if len(metrics) > 1:
        yield "pareto front", lambda: _pareto(study, metrics)


def _history(study: Study, metric: str) -> "Figure":
    """Value over trial: each, the best so far, and the config's own as a line."""
    from optuna.visualization.matplotlib import plot_optimization_history

    trials = _complete(study, at_least=1)
    axes = plot_optimization_history(study, target_name=with_unit(metric))
    figure = _styled(axes, f"{study.study_name}: {len(trials)} complete trials", (8, 4.5))
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
    axes.margins(y=0.06)
    fit_most(axes, values + last, _lower(study))
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].get_legend().remove()
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _importances(study: Study, metric: str) -> "Figure":
    """A bar for each parameter."""
    from optuna.visualization.matplotlib import plot_param_importances

    ended = with_pruned_as_worst(study)
    trials = _complete(ended, at_least=FEWEST)
    names = _searched(trials, at_least=2)
    axes = plot_param_importances(ended, EVALUATOR, names, target_name=metric)
    figure = _styled(
        axes,
        f"{study.study_name}: what sets the best quarter apart by {metric}\n"
        f"PED-ANOVA of {len(trials)} trials, pruned ones as the worst",
        (8, 1.6 + 0.4 * len(names)),
    )
    axes.set(xlabel="importance, of a sum of 1", ylabel="", xlim=(0, axes.get_xlim()[1] * 1.05))
    axes.set_yticks(axes.get_yticks(), [wrapped(label.get_text()).replace("\n", " ") for label in axes.get_yticklabels()])
    axes.grid(visible=False, axis="y")
    axes.get_legend().remove()
    return figure


def _slices(study: Study, metric: str) -> "Figure":
    """Value over each parameter, a panel each."""
    from matplotlib.gridspec import GridSpec
    from optuna.visualization.matplotlib import plot_slice

    trials = _complete(study, at_least=2)
    names = sorted(_searched(trials, at_least=1))
    panels = np.atleast_1d(plot_slice(study, names, target_name=with_unit(metric)))
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = _styled(panels[0], "", (1.2 + 2.6 * max(columns, 2), 0.8 + 2.9 * rows))
    figure.suptitle(f"{study.study_name}: {len(trials)} complete trials, the best in red")
    grid = GridSpec(rows, columns, figure=figure)
    best = best_first(trials, study.directions[0])[0]
    for i, (name, axes) in enumerate(zip(names, panels, strict=True)):
        whiten(axes)
        axes.set_subplotspec(grid[i // columns, i % columns])
        axes.set(title="", xlabel=wrapped(name), ylabel="" if i % columns else with_unit(metric))
        axes.tick_params(labelleft=i % columns == 0)
        axes.collections[0].set_sizes([30 if len(trials) < MANY else 8])
        _label_parameter(axes, trials, name)
        if name in best.params:
            is_text = bool(axes.xaxis.have_units())
            x = repr(best.params[name]) if is_text else best.params[name]
            axes.scatter([x], [best.values[0]], 70, BEST, marker="*", zorder=3)
    fit_most(panels[0], [t.values[0] for t in trials], _lower(study))
    return figure


def _label_parameter(axes: "Axes", trials: list[FrozenTrial], name: str) -> None:
    """Give the x-axis of a parameter ticks that do not run into each other."""
    if axes.xaxis.have_units():  # of texts
        labels = [label.get_text().strip("'") for label in axes.get_xticklabels()]
        turned = sum(map(len, labels)) > 18
        axes.set_xticks(range(len(labels)), labels, rotation=25 if turned else 0, ha="right" if turned else "center")
        axes.set_xlim(-0.5, len(labels) - 0.5)
        return
    values = sorted({t.params[name] for t in trials if name in t.params})
    if len(values) == 1:
        axes.set_xticks(values, [f"{values[0]:g}"])
    elif axes.get_xscale() == "log":
        plain_log(axes.xaxis)
    else:
        axes.xaxis.get_major_locator().set_params(nbins=4, integer=all(isinstance(v, int) for v in values))


def _parallel(study: Study, metric: str, branch: str) -> "Figure":
    """A line for each trial through all its parameters; far worse trials would leave the rest one colour."""
    from matplotlib.colors import ListedColormap
    from matplotlib.pyplot import get_cmap
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    trials = _complete(study, at_least=2)
    lower = _lower(study)
    limit = usual_limit([t.values[0] for t in trials], lower)
    usual = [t for t in trials if (t.values[0] <= limit if lower else t.values[0] >= limit)]
    openers = _openers(parse_space(study.user_attrs["definition"]["space"], "space"))
    names = [name for name in _searched(usual, at_least=2) if not (branch and name in openers)]
    if len(names) < 2:
        raise NothingToShowError(f"needs two parameters, there is {len(names)}")
    axes = plot_parallel_coordinate(of_trials(study, usual), names, target_name=with_unit(metric))
    left_out = f", without {len(trials) - len(usual)} far worse" if len(usual) < len(trials) else ""
    figure = axes.figure
    figure.set_size_inches(2.4 + 1.5 * len(names), 4.8)
    where = f" with {branch}" if branch else ""
    axes.set_title(f"{study.study_name}: {len(usual)} trials{where}{left_out}; the best in red", fontsize=12, y=1.02)
    lines = axes.collections[0]
    blues = get_cmap("Blues")(np.linspace(0.2, 1, 256))
    lines.set(cmap=ListedColormap(blues[::-1] if lower else blues), linewidths=1.2 if len(usual) < MANY else 0.5)
    values = np.asarray(lines.get_array())
    best = lines.get_segments()[int(values.argmin() if lower else values.argmax())]
    axes.plot(best[:, 0], best[:, 1], color=BEST, linewidth=2)
    keys = [wrapped(name.rpartition(":")[2] if branch else name) for name in names]
    axes.set_xticks(range(len(names) + 1), [metric, *(key.replace(".", ".\n", 1) for key in keys)], rotation=0)
    for twin in figure.axes[2:]:  # after the colour bar
        if twin.get_yscale() == "log":
            plain_log(twin.yaxis)
        for label in twin.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5})
    return figure


def _intermediate(study: Study, metric: str) -> "Figure":
    """Value over epoch, a curve for each trial."""
    from optuna.visualization.matplotlib import plot_intermediate_values

    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)  # those that Optuna draws
    trials = [t for t in study.get_trials(deepcopy=False, states=states) if t.intermediate_values]
    if not trials:
        raise NothingToShowError("no trial has reported a value")
    axes = plot_intermediate_values(study)
    figure = _styled(axes, f"{study.study_name}: {len(trials)} trials", (8, 4.5))
    axes.set(xlabel="epoch", ylabel=with_unit(metric))
    best = next(iter(best_first(trials, study.directions[0])), None)
    own = baseline(trials)
    thin = len(trials) >= MANY
    seen = set()
    colours = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.RUNNING: RUNNING}
    for trial, line in zip(trials, axes.lines, strict=True):
        label = trial.state.name.lower()
        line.set(color=colours[trial.state], alpha=0.35 if thin else 0.7, linewidth=0.6 if thin else 1.2)
        if trial is own:
            label = "the config's own values"
            line.set(color="black", linestyle="--", alpha=1, linewidth=1.5, zorder=3)
        if trial is best:
            label = f"the best, trial {trial.number}{', ' + label if trial is own else ''}"
            line.set(color=BEST, alpha=1, linewidth=2, zorder=4)
        line.set(label=f"_{label}" if label in seen else label, marker="" if len(trial.intermediate_values) > 40 or thin else ".")
        seen.add(label)
    fit_most(axes, [v for t in trials for v in t.intermediate_values.values()], _lower(study), "points")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if legend := axes.get_legend():
        legend.remove()
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def _pareto(study: Study, metrics: list[str]) -> "Figure":
    """One objective over the other."""
    from optuna.visualization.matplotlib import plot_pareto_front

    trials = _complete(study, at_least=2)
    axes = plot_pareto_front(study, target_names=[with_unit(metric) for metric in metrics])
    figure = _styled(axes, f"{study.study_name}: {len(trials)} complete trials", (8, 5))
    front = study.best_trials
    for dots in axes.collections:
        is_front = str(dots.get_label()).startswith("Best")
        dots.set(label="Pareto front" if is_front else "others are better in both", sizes=[36 if is_front else 16])
    for i, axis in enumerate((axes.xaxis, axes.yaxis)):
        values = [t.values[i] for t in trials]
        if min(values) > 0 and max(values) > 30 * min(values):
            (axes.set_xscale if i == 0 else axes.set_yscale)("log")
            plain_log(axis)
    for trial in front if len(front) <= 15 else []:
        axes.annotate(str(trial.number), trial.values, (5, 5), textcoords="offset points", fontsize=8)
    axes.get_legend().remove()
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _styled(axes: "Axes", title: str, inches: tuple[float, float]) -> "Figure":
    whiten(axes)
    axes.set_title(title, fontsize=12)
    figure: Any = axes.figure
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*inches)
    return figure


def _complete(study: Study, at_least: int) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < at_least:
        raise NothingToShowError(f"needs {at_least} complete trials, there are {len(trials)}")
    return trials


def _searched(trials: list[FrozenTrial], at_least: int) -> list[str]:
    """Return the parameters that some trials have, in the order of the space."""
    names = list(dict.fromkeys(name for t in trials for name in t.params))
    if len(names) < at_least:
        raise NothingToShowError(f"needs {at_least} parameters, there is {len(names)}")
    return names


def _lower(study: Study) -> bool:
    return study.directions[0] is StudyDirection.MINIMIZE


def _branches(study: Study) -> dict[str, Study]:
    """Split a study by the branches of its space, in each of which all trials have the same parameters."""
    space = parse_space(study.user_attrs["definition"]["space"], "space")
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        groups.setdefault(" ".join(_branch(space, trial.params)), []).append(trial)
    return {branch: of_trials(study, trials) for branch, trials in groups.items()} or {"": study}


def _branch(space: Space, params: Params) -> list[str]:
    """Return the choices of a trial that open branches."""
    chosen = []
    for d in space.dimensions:
        if d.name in _openers(space):
            chosen += [str(params[d.name]), *_branch(d.choice(params[d.name]).branch, params)]
    return chosen


def _openers(space: Space) -> set[str]:
    """Return the parameters with choices in which others are searched, at any depth."""
    inner = [_openers(c.branch) for d in space.dimensions for c in d.choices]
    return {d.name for d in space.dimensions if any(c.branch.dimensions for c in d.choices)}.union(*inner)
