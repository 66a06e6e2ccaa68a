"""Plots: the curves of a run, and axes that can be read, with few round labels and outliers out of view."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.files import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["BEST", "MANY", "curves_png", "fit_most", "plain_log", "styled", "usual_limit", "whiten", "wrapped"]

BEST = "tab:red"
MANY = 60  # trials from which on lines are thin and dots are small
FEW = 4  # labels on an axis


def curves_png(metrics: Path, path: Path, title: str) -> None:
    """Plot training and validation bits/dim over the epochs of a `metrics.csv`."""
    from matplotlib.figure import Figure

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label in (("train/bpd", "train"), ("val/bpd", "valid")):
        points = [(int(row["epoch"]) + 1, float(row[key])) for row in rows if row.get(key)]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
    axes.set(xlabel="epoch", ylabel="bits/dim", title=title)
    if axes.lines:
        axes.legend()
    axes.grid(alpha=0.3)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def plain_log(axis: "Axis") -> None:
    """Label a log axis with round numbers, written out."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = sorted(axis.get_view_interval())
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**e for e in exponents for m in multiples if low <= m * 10.0**e <= high]
        if len(ticks) <= FEW:
            break
    if len(ticks) < 2:  # not even an octave
        ticks = [float(tick) for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks[:: max(1, -(-len(ticks) // FEW))]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    return f"{value:g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


def usual_limit(values: Sequence[float], lower_is_better: bool) -> float:
    """Return the value beyond which a value is far worse than most."""
    signed = np.array(values) if lower_is_better else -np.array(values)
    best, usual = np.min(signed), np.quantile(signed, 0.75)
    limit = float(usual + 1.5 * (usual - best))
    return limit if lower_is_better else -limit


def fit_most(axes: "Axes", values: Sequence[float], lower_is_better: bool, what: str = "trials") -> None:
    """End the y-axis before values that are far worse than most, and say how many there are."""
    limit = usual_limit(values, lower_is_better)
    inside = [v for v in values if (v <= limit if lower_is_better else v >= limit)]
    beyond, height = len(values) - len(inside), max(inside) - min(inside)
    if not beyond or height == 0:
        return
    axes.set_ylim(min(inside) - 0.06 * height, max(inside) + 0.06 * height)
    note = f"{beyond} {what} {'above' if lower_is_better else 'below'}"
    axes.text(1, 1.01, note, transform=axes.transAxes, ha="right", va="bottom", color="0.4", fontsize=9)


def whiten(axes: "Axes") -> None:
    """Draw the axes as this project's other pictures: dark on white."""
    axes.set_facecolor("white")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color("black")
    axes.tick_params(colors="black")
    for spine in axes.spines.values():
        spine.set(visible=True, color="0.7")


def styled(axes: "Axes", title: str, inches: tuple[float, float]) -> "Figure":
    """Give a figure of Optuna's its looks, a title and a size; return it."""
    whiten(axes)
    axes.set_title(title, fontsize=12)
    figure: Any = axes.figure
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*inches)
    return figure


def wrapped(name: str) -> str:
    r"""Return Optuna's name of a parameter over two lines: the config key, and the branch it is in.

    Example:
        >>> wrapped("nade:model.hidden")
        'model.hidden\n(nade)'
    """
    branch, _, key = name.rpartition(":")
    return f"{key}\n({branch})" if branch else key
