"""Plots: the curves of a run, and which rows are drawn where there are too many."""

import csv
from pathlib import Path

import numpy as np

from ar_lightning.core.files import written

__all__ = ["curves_png", "evenly"]


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


def evenly(n: int, most: int) -> np.ndarray:
    """Return the numbers of at most so many of n rows, spread evenly over all of them."""
    k = min(n, most)
    return np.arange(k) * n // max(k, 1)
