"""Cells of a mixed table as numbers to draw: levels of categories, and numbers in the units of their columns."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.media.frames import DAY

__all__ = ["DATA", "SAMPLES", "Side", "axis_of", "levels_shown", "short", "side_of", "ticked"]

DATA, SAMPLES = "#33658a", "#e4572e"  # colours, as in the pictures of tables of real values


class Side(NamedTuple):
    """Rows of data or of samples."""

    table: MixedTable
    values: np.ndarray  # (N, D) float64: levels, numbers in the units of the column, dates in days; NaN where missing

    def present(self, d: int) -> np.ndarray:
        """Return the values of a column that are there."""
        column: np.ndarray = self.values[:, d]
        return column[~np.isnan(column)]

    def spikes(self, d: int) -> np.ndarray:
        """Return booleans `(N,)`: whether a number is one of its column's spikes."""
        column = self.table.columns[d]
        spikes = [axis_of(column, v) for v in column.spikes]
        return np.isin(self.values[:, d], spikes)


def side_of(x: Tensor, table: MixedTable) -> Side:
    """Return stored rows `(N, 1, D)` as numbers to draw; spikes are exact."""
    z = x.detach().cpu().double().flatten(1).numpy()
    values = np.stack([_values(z[:, d], column) for d, column in enumerate(table.columns)], 1)
    return Side(table, values)


def _values(z: np.ndarray, column: Column) -> np.ndarray:
    if column.kind == "category":
        return z
    values = column.offset + column.unit * z
    for spike in column.spikes:
        values[z.astype(np.float32) == np.float32((spike - column.offset) / column.unit)] = spike
    return np.asarray(axis_of(column, values))


def axis_of(column: Column, value: Any) -> Any:
    """Return where values in the units of their column lie on an axis: dates in days, as Matplotlib has them."""
    return value / DAY if column.kind == "date" and not column.days else value


def ticked(axes: Any, column: Column, which: str, log: bool, n: int = 4) -> None:
    """Let an axis, `x` or `y`, show about n numbers as they are, or dates where the column has them."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if column.kind == "date":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=2, maxticks=n)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
        return
    if log:
        axis.set_minor_formatter(lambda value, place: "")
    else:
        axes.locator_params(axis=which, nbins=n)
    axis.set_major_formatter(lambda value, place: _short_number(value))


def _short_number(value: float) -> str:
    """Write the number of a tick, so that large ones do not meet.

    Example:
        >>> _short_number(99_999.0), _short_number(250_000.0), _short_number(-1_500_000.0)
        ('99999', '250k', '-1.5M')
    """
    unit, name = (1e6, "M") if abs(value) >= 1e6 else (1e3, "k") if abs(value) >= 1e5 else (1.0, "")
    return f"{value / unit:.6g}{name}"


def levels_shown(column: Column, most: int) -> tuple[list[str], int]:
    """Return the names of the levels that are drawn, the most frequent, and how many others are drawn as one."""
    names = list(column.levels)
    return (names, 0) if len(names) <= most else (names[: most - 1], len(names) - most + 1)


def short(text: str, most: int = 16) -> str:
    """Cut a text that is too long to draw.

    Example:
        >>> short("a rather long name"), short("short")
        ('a rather long n…', 'short')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"
