"""Plots: the curves of a run, and axes that can be read, with few round labels and outliers out of view."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ar_lightning.core.files import written

if TYPE_CHECKING:
    from matplotlib.axis import Axis

__all__ = ["curves_png", "plain_log", "usual_limit"]

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


def usual_limit(values: Sequence[float]) -> float:
    """Return the value above which a value is far worse than most; lower is better."""
    best, usual = np.min(values), np.quantile(values, 0.75)
    return float(usual + 1.5 * (usual - best))
