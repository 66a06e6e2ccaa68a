"""Tables: how samples compare to data, column by column and pair by pair, in the units of the columns."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media

__all__ = ["Tables", "pair_plot_png"]

COLUMNS = 6  # at most, in a picture
POINTS = 1000  # at most, of data and of samples each
MAX_BINS = 30
COLOURS = {"data": "#33658a", "samples": "#e4572e"}
MARGIN = 0.1  # beyond the data, as a fraction of its range
REACH = 0.6  # the same, at most, where samples lie out there


class Tables(Media):
    """Rows `(N, 1, D)`, standardised; a spec that names no columns has `x0`, `x1` .. in the units of the values."""

    name = "table"
    completions = 0
    compared = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        names = tuple(f"x{d}" for d in range(spec.dims))
        plain = Table(names, (0.0,) * spec.dims, (1.0,) * spec.dims)
        self.table = spec.medium if isinstance(spec.medium, Table) else plain
        self.columns = self.table.columns

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
        with written(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows([f"{value:.7g}" for value in row] for row in self.original_units(x))
        if data is None:
            return {"samples": path}
        pair_plot_png(self.original_units(spread(data)), self.original_units(spread(x)), self.columns, plot)
        return {"pairs": plot, "samples": path}

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
        offset, scale, new_offset, new_scale = (
            torch.tensor(column, dtype=torch.float64)
            for table in (other.table, self.table)
            for column in (table.offset, table.scale)
        )
        return ((offset + scale * x - new_offset) / new_scale).float()


def pair_plot_png(data: np.ndarray, samples: np.ndarray, columns: tuple[str, ...], path: Path) -> None:
    """Draw a corner plot of the first columns: histograms on the diagonal, scatter plots of the pairs below it.

    Axes show all of the data, and samples nearby; the legend says how many lie outside.

    Args:
        data: rows `(N, D)`.
        samples: rows `(M, D)`.
        columns: their names.
        path: the picture; it is written in one step.
    """
    from matplotlib.figure import Figure

    names = columns[:COLUMNS]
    k = len(names)
    rows = {"data": data, "samples": samples}
    limits = [axis_limits(rows["data"][:, d], rows["samples"][:, d]) for d in range(k)]
    n_bins = min(MAX_BINS, max(8, int(1.5 * len(rows["data"]) ** 0.5)))
    beyond = outside(rows["samples"], limits)
    labels = {"data": "data", "samples": f"samples ({beyond:.1%} not in view)" if beyond else "samples"}
    size = max(4.0, 1.55 * k + 0.6)
    figure = Figure(figsize=(size, size), layout="constrained")
    grid = figure.subplots(k, k, squeeze=False)
    for i in range(k):
        for j in range(k):
            axes = grid[i, j]
            if j > i:
                axes.remove()
                continue
            axes.set_xlim(limits[j])
            axes.tick_params(labelsize=7, length=2)
            axes.locator_params(nbins=4)
            axes.ticklabel_format(useOffset=False, style="plain")
            if i == j:
                bins = np.linspace(*limits[j], n_bins + 1)
                for kind, style in (("data", {"alpha": 0.45}), ("samples", {"histtype": "step", "linewidth": 1.4})):
                    values = rows[kind][:, j]
                    # Weights, not density: what lies outside the axes is not spread over what lies inside.
                    weights = np.full(len(values), 1 / max(len(values), 1))
                    axes.hist(values, bins, weights=weights, color=COLOURS[kind], label=labels[kind], **style)
                axes.set_yticks([])
            else:
                axes.set_ylim(limits[i])
                for kind in ("data", "samples"):
                    few = len(rows[kind]) < 300
                    above = 1 - len(rows[kind]) / POINTS  # the fewer are drawn over the more
                    marks = {"s": 9 if few else 5, "alpha": 0.5, "linewidths": 0, "zorder": above}
                    axes.scatter(rows[kind][:, j], rows[kind][:, i], color=COLOURS[kind], **marks)
            label = {"fontsize": 8}
            if i == k - 1:
                axes.set_xlabel(names[j], **label)
                axes.tick_params(axis="x", rotation=30)
            else:
                axes.tick_params(labelbottom=False)
            if j == 0 and i > 0:
                axes.set_ylabel(names[i], **label)
            elif j > 0:
                axes.tick_params(labelleft=False)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="upper right", fontsize=10, frameon=False)
    figure.align_labels()
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def spread(x: Tensor) -> Tensor:
    """Return at most POINTS rows, spread evenly over all of them."""
    n = len(x)
    return x if n <= POINTS else x[np.arange(POINTS) * n // POINTS]


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
