"""Histograms of scores: a density's own examples and others, overlaid, a panel for each score."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ar_lightning.core.files import written

__all__ = ["histograms_png"]

BINS = 40
TAIL = 0.005  # of each side's scores, at each end, that may lie beyond the axis: one of them would flatten the rest
COLOURS = ("#33658a", "#e4572e")


def histograms_png(panels: Mapping[str, Mapping[str, np.ndarray]], title: str, path: Path) -> None:
    """Draw overlaid histograms.

    Args:
        panels: by the title of the panel, the scores `(N,)` of each set of examples by its name.
        title: of the picture.
        path: of the picture, which is written in one step.
    """
    from matplotlib.figure import Figure

    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(9.6, 0.9 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, (heading, sets) in zip(grid, panels.items(), strict=False):
        edges = _edges([*sets.values()])
        for colour, (name, scores) in zip(COLOURS, sets.items(), strict=False):
            shown = scores.clip(edges[0], edges[-1])  # what lies beyond is in the outermost bar
            weights = np.full(len(scores), 1 / len(scores))
            look = {"color": colour, "edgecolor": colour, "alpha": 0.5, "histtype": "stepfilled"}
            axes.hist(shown, edges, weights=weights, label=name, **look)
        name, _, metric = heading.partition("\n")
        axes.set_title(metric, fontsize=10)
        axes.set_xlabel(name, fontsize=9)
        axes.set_ylabel("fraction of examples", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=7)
    for axes in grid[len(panels) :]:
        axes.remove()
    handles, labels = grid[0].get_legend_handles_labels()
    figure.suptitle(title, fontsize=11)
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _edges(sets: list[np.ndarray]) -> np.ndarray:
    low = min(np.quantile(scores, TAIL) for scores in sets)
    high = max(np.quantile(scores, 1 - TAIL) for scores in sets)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)
