"""Pictures and files of tables: how samples compare to data, column by column and pair by pair, in original units."""

import csv
from pathlib import Path

import numpy as np
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec

__all__ = ["original_units", "pair_plot_png", "write_csv"]

COLUMNS = 6  # at most, in a picture
POINTS = 1000  # at most, of data and of samples each
MAX_BINS = 30
COLOURS = {"data": "#33658a", "samples": "#e4572e"}
MARGIN = 0.1  # beyond the data, as a fraction of its range
REACH = 0.6  # the same, at most, where samples lie out there


def original_units(x: Tensor, spec: DataSpec) -> np.ndarray:
    """Map rows `(N, 1, D)` to the units of their columns, `(N, D)` float64; rows of no table stay as they are."""
    z = x.detach().cpu().double().flatten(1).numpy()
    if not isinstance(spec.medium, Table):
        return z
    return np.asarray(spec.medium.offset) + np.asarray(spec.medium.scale) * z


def column_names(spec: DataSpec) -> tuple[str, ...]:
    return spec.medium.columns if isinstance(spec.medium, Table) else tuple(f"x{d}" for d in range(spec.dims))


def write_csv(x: Tensor, spec: DataSpec, path: Path) -> None:
    """Write rows `(N, 1, D)` in the units of their columns, under a header, in one step."""
    with written(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(column_names(spec))
        writer.writerows([f"{value:.7g}" for value in row] for row in original_units(x, spec))


def pair_plot_png(data: Tensor, samples: Tensor, spec: DataSpec, path: Path) -> None:
    """Draw a corner plot of the first columns: histograms on the diagonal, scatter plots of the pairs below it.

    Axes show all of the data, and samples nearby; the legend says how many lie outside.

    Args:
        data: rows `(N, 1, D)`.
        samples: rows `(M, 1, D)`.
        spec: of the data.
        path: the picture; it is written in one step.
    """
    from matplotlib.figure import Figure

    names = column_names(spec)[:COLUMNS]
    k = len(names)
    rows = {"data": original_units(spread(data), spec), "samples": original_units(spread(samples), spec)}
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
                    marks = {
                        "s": 9 if few else 5,
                        "alpha": 0.5,
                        "linewidths": 0,
                        "zorder": 1 - len(rows[kind]) / POINTS,
                    }
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
