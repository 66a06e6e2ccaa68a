"""Tables: how samples compare to data, column by column and pair by pair, in the units of the columns."""

from itertools import combinations_with_replacement
from math import ceil, log10
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.files import write_csv, written
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media
from ar_lightning.media.plots import drawn, evenly, plain_text

__all__ = ["Tables", "pair_plot_png"]

COLUMNS = 6  # at most, in a picture
POINTS = 1000  # at most, of data and of samples each
MAX_BINS = 30
MARGIN = 0.1  # beyond the data, as a fraction of its range
REACH = 0.6  # the same, at most, where samples lie out there


class Tables(Media):
    """Rows `(N, 1, D)`, standardised."""

    name = "table"
    completions = 0
    compared = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec.medium, Table)
        self.table, self.columns = spec.medium, spec.medium.columns

    @property
    def digits(self) -> list[int]:
        """Digits of each column that tell values apart as single precision does on its scale."""
        sizes = zip(self.table.offset, self.table.scale, strict=True)
        return [min(17, 8 + max(0, ceil(log10(abs(offset / scale) or 1)))) for offset, scale in sizes]

    def original_units(self, x: Tensor) -> np.ndarray:
        """Map rows `(N, 1, D)` to the units of their columns, `(N, D)` float64."""
        z = x.detach().cpu().double().flatten(1).numpy()
        return np.asarray(self.table.offset) + np.asarray(self.table.scale) * z

    def standardised(self, rows: np.ndarray) -> np.ndarray:
        """Map rows `(..., D)` in the units of their columns to the values that the density reads."""
        z: np.ndarray = (rows - np.asarray(self.table.offset)) / np.asarray(self.table.scale)
        return z

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write rows in the units of their columns, `STEM.csv`, and beside data a plot of pairs, `STEM.png`."""
        path, plot = (stem.with_name(stem.name + ending) for ending in (".csv", ".png"))
        formats = [f"%.{n}g" for n in self.digits]
        rows = ([form % value for form, value in zip(formats, row, strict=True)] for row in self.original_units(x))
        write_csv(self.columns, rows, path)
        if data is None:
            return {"samples": path}
        examples, samples = (self.original_units(rows[evenly(len(rows), POINTS)]) for rows in (data, x))
        pairs = drawn(plot, lambda: pair_plot_png(examples, samples, self.columns, plot))
        return {**({"pairs": pairs} if pairs else {}), "samples": path}

    def difference(self, other: Media) -> str | None:
        """Return how the names of the columns differ; other units are translated."""
        assert isinstance(other, Tables)
        if self.columns == other.columns:
            return None
        return f"columns {', '.join(other.columns)}, but this density was trained for {', '.join(self.columns)}"

    def translate(self, x: Tensor, other: Media) -> Tensor:
        """Map values standardised otherwise to those of this table."""
        assert isinstance(other, Tables)
        if self.table == other.table:
            return x
        return torch.from_numpy(self.standardised(other.original_units(x))).float().view_as(x)


@plain_text()
def pair_plot_png(data: np.ndarray, samples: np.ndarray, columns: tuple[str, ...], path: Path) -> Path:
    """Draw a corner plot of the first columns: histograms on the diagonal, scatter plots of the pairs below it.

    Axes show all of the data `(N, D)`, and samples `(M, D)` nearby; the legend says how many lie outside.
    """
    from matplotlib.figure import Figure

    k = min(len(columns), COLUMNS)
    limits = [axis_limits(data[:, d], samples[:, d]) for d in range(k)]
    n_bins = min(MAX_BINS, max(8, int(1.5 * len(data) ** 0.5)))
    beyond = outside(samples, limits)
    name = f"samples ({beyond:.1%} not in view)" if beyond else "samples"
    sides = (
        (data, {"color": "#33658a", "label": "data"}, {"alpha": 0.45}),
        (samples, {"color": "#e4572e", "label": name}, {"histtype": "step", "linewidth": 1.4}),
    )
    size = max(4.0, 1.55 * k + 0.6)
    figure = Figure(figsize=(size, size), layout="constrained")
    for j, i in combinations_with_replacement(range(k), 2):
        axes: Any = figure.add_subplot(k, k, i * k + j + 1)
        axes.set_xlim(limits[j])
        axes.tick_params(labelsize=7, length=2, labelbottom=i == k - 1, labelleft=j == 0)
        axes.tick_params(axis="x", rotation=30)
        axes.locator_params(nbins=4)
        axes.ticklabel_format(useOffset=False, style="plain")
        if i == j:
            bins = np.linspace(*limits[j], n_bins + 1)
            for rows, look, bars in sides:
                # Weights, not density: what lies outside the axes is not spread over what lies inside.
                axes.hist(rows[:, j], bins, weights=np.full(len(rows), 1 / len(rows)), **look, **bars)
            axes.set_yticks([])
        else:
            axes.set_ylim(limits[i])
            for rows, look, _ in sides:
                above = 1 - len(rows) / POINTS  # the fewer are drawn over the more
                dot = 9 if len(rows) < 300 else 5
                axes.scatter(rows[:, j], rows[:, i], s=dot, alpha=0.5, linewidths=0, zorder=above, **look)
        if i == k - 1:
            axes.set_xlabel(columns[j], fontsize=8)
        if j == 0 < i:
            axes.set_ylabel(columns[i], fontsize=8)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="upper right", fontsize=10, frameon=False)
    figure.align_labels()
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path


def axis_limits(data: np.ndarray, samples: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis: of the data, and of all but a few samples if these are not far off."""
    low, high = float(data.min()), float(data.max())
    span = (high - low) or 1.0
    few, most = np.quantile(samples, [0.003, 0.997])
    below, above = (max(MARGIN * span, min(REACH * span, d)) for d in (low - few, most - high))
    return low - below, high + above


def outside(rows: np.ndarray, limits: list[tuple[float, float]]) -> float:
    """Return the fraction of rows with a value beyond the limits of its axis."""
    low, high = np.array(limits).T
    shown = rows[:, : len(limits)]
    return float(((shown < low) | (shown > high)).any(1).mean())
