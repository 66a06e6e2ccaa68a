"""Validation curves of many runs over each other, by epoch and by seconds of training."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from ar_lightning.inference.compare.table import Group, Row, title_of
from ar_lightning.media.plots import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AXES", "By", "all_curves_png", "curve_png", "points_of"]

By = Literal["epoch", "seconds"]
AXES: dict[By, str] = {"epoch": "epoch", "seconds": "seconds of training"}
STYLES = ("-", "--", ":")
COLOURS = 10  # of matplotlib's tab10: a line style each until they are used up
INK = {False: ("white", "black", "0.9"), True: ("#16181d", "#e4e6eb", "0.3")}  # background, text, grid; by darkness
WIDTH = 5.4  # inches of a plot that can be read on a phone
LINE = 0.19  # inches of a line of the legend
LONGER = 3  # times that the longest curve is longer than the shortest where the axis is logarithmic


def points_of(row: Row, by: By) -> list[tuple[float, float]]:
    """Return the points of the curve of a run: where on the axis, and its value."""
    places = ((point.epoch if by == "epoch" else point.seconds, point.value) for point in row.run.curve)
    return [(place, value) for place, value in places if place is not None]


@plain_text()
def curve_png(rows: Sequence[Row], by: By, dark: bool = False) -> bytes:
    """Draw the curves of runs on the same data, for a page; the legend is below, the best first, down its columns."""
    figure = _figure((WIDTH, 3.4 + LINE * -(-len(rows) // 2)), dark)
    _draw(figure.add_subplot(), rows, by, dark)
    figure.legend(loc="outside lower left", ncols=2, fontsize=9, frameon=False, labelcolor=INK[dark][1])
    return _png(figure)


@plain_text()
def all_curves_png(groups: Sequence[Group]) -> bytes:
    """Draw a row of plots for each group: by epoch, and by seconds."""
    heights = [max(3.4, LINE * len(rows) + 0.7) for rows in groups]
    figure = _figure((12, sum(heights)))
    grid = figure.subplots(len(groups), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, rows in zip(grid, groups, strict=True):
        for ax, by in zip(axes, AXES, strict=True):
            _draw(ax, rows, by)
        axes[0].set_title(title_of(rows))
        axes[1].legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize=8, frameon=False)
    return _png(figure)


def _draw(axes: "Axes", rows: Sequence[Row], by: By, dark: bool = False) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    ordered = sorted(rows, key=lambda row: row.run.value)
    for i, row in enumerate(ordered):
        points = points_of(row, by)
        x, y = zip(*points, strict=True) if points else ((), ())
        axes.plot(
            x, y, STYLES[i // COLOURS % len(STYLES)], color=f"C{i % COLOURS}", label=f" {row.run.name}", linewidth=1.4,
            alpha=1.0 if i < COLOURS * len(STYLES) else 0.3, marker="." if len(points) < 2 else "",
            zorder=3 - i / len(ordered),
        )  # fmt: skip
    curves = [points for row in ordered if (points := points_of(row, by))]
    ends = [points[-1][0] for points in curves]
    if ends and max(ends) > LONGER * min(ends):  # a table takes seconds where an LSTM takes minutes
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    elif by == "epoch":
        axes.locator_params("x", integer=True)
        axes.set_xlim(*((0.5, 1.5) if ends and max(ends) == 1 else (None, None)))
    if beyond := _zoom(axes, curves):
        note = f"{beyond} point{'s' if beyond > 1 else ''} above"
        axes.text(1, 1.01, note, transform=axes.transAxes, ha="right", va="bottom", color="0.5", fontsize=9)
    background, ink, grid = INK[dark]
    axes.set_facecolor(background)
    axes.set_xlabel(AXES[by], color=ink)
    axes.set_ylabel(f"validation {rows[0].run.unit}", color=ink)
    axes.tick_params(which="both", colors=ink)
    axes.grid(color=grid)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color("0.5")


def _zoom(axes: "Axes", curves: Sequence[Sequence[tuple[float, float]]]) -> int:
    """End the y-axis below first epochs that flatten the rest, not below where a curve ends; count those above."""
    values = [value for points in curves for _, value in points]
    if not values:
        return 0
    best, usual = min(values), float(np.quantile(values, 0.75))
    top = max(usual + 1.5 * (usual - best), *(points[-1][1] for points in curves))
    beyond = sum(value > top for value in values)
    if beyond:
        margin = 0.06 * (top - best)
        axes.set_ylim(best - margin, top + margin)
    return beyond


def _figure(inches: tuple[float, float], dark: bool = False) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained", facecolor=INK[dark][0])


def _png(figure: "Figure") -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
