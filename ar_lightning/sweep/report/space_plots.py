"""Pictures of a search space: which parameters matter, and what their good values are."""

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from ar_lightning.media.plots import BEST, MANY, fit_most, plain_log, styled, usual_limit, whiten, wrapped
from ar_lightning.sweep.report.outcomes import best_first, with_unit
from ar_lightning.sweep.report.views import (
    EVALUATOR,
    NothingToShowError,
    complete_trials,
    is_lower_better,
    openers,
    searched,
    with_pruned_as_worst,
    without_worst,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["importance_plot", "parallel_plot", "slice_plot"]

COLUMNS = 4  # of panels, one for each parameter


def importance_plot(study: Study, metric: str) -> "Figure":
    """A bar for each parameter.

    Raises:
        NothingToShowError: too few trials or parameters.
    """
    from optuna.visualization.matplotlib import plot_param_importances

    ended = with_pruned_as_worst(study)
    trials = complete_trials(ended, at_least=0)
    names = searched(trials, at_least=2)
    axes: Any = plot_param_importances(ended, EVALUATOR, names, target_name=metric)
    axes.set_title("", loc="left")
    title = f"{study.study_name}: what sets the best quarter apart by {metric}"
    note = f"PED-ANOVA of {len(trials)} trials, pruned ones as the worst"
    figure = styled(axes, f"{title}\n{note}", (8, 1.6 + 0.4 * len(names)))
    axes.set(xlabel="importance, of a sum of 1", ylabel="", xlim=(0, axes.get_xlim()[1] * 1.05))
    labels = [wrapped(label.get_text()).replace("\n", " ") for label in axes.get_yticklabels()]
    axes.set_yticks(axes.get_yticks(), labels)
    axes.grid(visible=False, axis="y")
    axes.get_legend().remove()
    return figure


def slice_plot(study: Study, metric: str) -> "Figure":
    """Value over each parameter, a panel each.

    Raises:
        NothingToShowError: too few trials or parameters.
    """
    from matplotlib.gridspec import GridSpec
    from optuna.visualization.matplotlib import plot_slice

    trials = complete_trials(study, at_least=2)
    names = searched(trials, at_least=1)
    drawn: Any = plot_slice(study, names, target_name=with_unit(metric))
    panels = np.atleast_1d(drawn)
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = styled(panels[0], "", (1.2 + 2.6 * max(columns, 2), 0.8 + 2.9 * rows))
    figure.suptitle(f"{study.study_name}: {len(trials)} complete trials, the best in red", fontsize=12)
    panels[-1].collections[0].colorbar.remove()  # it keeps the panels in one row
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
            x = repr(best.params[name]) if axes.xaxis.have_units() else best.params[name]
            axes.scatter([x], [best.values[0]], 70, BEST, marker="*", zorder=3)
    bar: Any = figure.colorbar(panels[0].collections[0], ax=[*panels], label="trial", aspect=30)
    bar.ax.yaxis.get_major_locator().set_params(integer=True)
    bar.ax.tick_params(colors="black")
    bar.ax.yaxis.label.set_color("black")
    fit_most(panels[0], [t.values[0] for t in trials], is_lower_better(study))
    return figure


def _label_parameter(axes: Any, trials: list[FrozenTrial], name: str) -> None:
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


def parallel_plot(study: Study, part: Study, branch: str, metric: str) -> "Figure":
    """A line for each trial of a branch through all its parameters.

    Args:
        study: of one objective.
        part: its trials in the branch.
        branch: what the branch is called; empty if there is one only.
        metric: the objective.

    Raises:
        NothingToShowError: too few trials or parameters.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.pyplot import get_cmap
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    trials, lower = complete_trials(part, at_least=2), is_lower_better(study)
    limit = usual_limit([t.values[0] for t in complete_trials(study, at_least=2)], lower)
    shown = without_worst(part, limit)  # one that is far worse would leave the rest of one colour
    usual = complete_trials(shown, at_least=2)
    names = [name for name in searched(usual, at_least=2) if name not in openers(study)]
    if len(names) < 2:
        raise NothingToShowError(f"needs 2 parameters, has {len(names)}")
    axes: Any = plot_parallel_coordinate(shown, names, target_name=with_unit(metric))
    figure = axes.figure
    figure.set_size_inches(2.4 + 1.5 * len(names), 4.8)
    where = f" with {branch}" if branch else ""
    left_out = f", without {len(trials) - len(usual)} far worse" if len(usual) < len(trials) else ""
    axes.set_title(f"{study.study_name}: {len(usual)} trials{where}{left_out}; the best in red", fontsize=12, y=1.02)
    lines = axes.collections[0]
    blues = get_cmap("Blues")(np.linspace(0.2, 1, 256))
    lines.set(cmap=ListedColormap(blues[::-1] if lower else blues), linewidths=1.2 if len(usual) < MANY else 0.5)
    values = np.asarray(lines.get_array())
    best = lines.get_segments()[int(values.argmin() if lower else values.argmax())]
    axes.plot(best[:, 0], best[:, 1], color=BEST, linewidth=2)
    keys = [wrapped(name.rpartition(":")[2] if branch else name).replace(".", ".\n", 1) for name in names]
    axes.set_xticks(range(len(names) + 1), [metric.replace("_", "_\n", 1), *keys], rotation=0)
    for twin in figure.axes[2:]:  # after the colour bar
        if twin.get_yscale() == "log":
            plain_log(twin.yaxis)
        for label in twin.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5})
    return figure
