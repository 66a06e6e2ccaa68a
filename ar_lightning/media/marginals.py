"""The distribution of every column of a mixed table, of data and of samples side by side."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ar_lightning.core.files import written
from ar_lightning.core.medium import Column
from ar_lightning.media.cell_values import DATA, SAMPLES, Side, axis_of, levels_shown, short, ticked
from ar_lightning.media.plots import plain_text

__all__ = ["View", "marginals_png", "view_of"]

COLUMNS = 40  # at most, in a picture
LEVELS = 20  # of a category, at most: the most frequent
BINS = 30
EACH = 40  # whole numbers, at most, that have a bar each
TAIL = 0.005  # of the data, at each end, that may lie out of view
FAR = 2.0  # how many times as wide as the view the data must be for that
DECADES = 100.0  # so many times as large as its low values are the high values of a column on a logarithmic axis


class View(NamedTuple):
    """What part of a column of numbers is drawn, and how."""

    low: float
    high: float
    log: bool = False

    def edges(self, bins: int) -> np.ndarray:
        """Return the edges of so many bins."""
        return np.geomspace(self.low, self.high, bins + 1) if self.log else np.linspace(self.low, self.high, bins + 1)

    def beyond(self, values: np.ndarray) -> int:
        """Return how many values are not in view."""
        return int(((values < self.low) | (values > self.high)).sum())


def view_of(data: np.ndarray, samples: np.ndarray) -> View:
    """Return the view of a column of numbers that shows the data, but not at the cost of all but a few of them.

    The ends of samples do not count: one that is far off would flatten the rest.
    """
    values = data if len(data) else samples
    if not len(values):
        return View(0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    few, most = (float(q) for q in np.quantile(values, [TAIL, 1 - TAIL]))
    if few > 0 and most > DECADES * few and low > 0:
        return View(low / 1.05, high * 1.05, log=True)
    if high - low > FAR * (most - few) > 0:
        low, high = max(low, few - 0.5 * (most - few)), min(high, most + 0.5 * (most - few))
    margin = 0.03 * (high - low) or max(0.5, 1e-6 * abs(high))
    return View(low - margin, high + margin)


@plain_text()
def marginals_png(data: Side, samples: Side, path: Path) -> Path:
    """Draw a panel for every column: bars of categories, histograms of numbers; spikes have bars of their own."""
    from matplotlib.figure import Figure

    columns = data.table.columns[:COLUMNS]
    across = min(4, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(2.9 * across + 0.3, 2.45 * down + 0.7), layout="constrained")
    for d, column in enumerate(columns):
        axes: Any = figure.add_subplot(down, across, d + 1)
        axes.tick_params(labelsize=7, length=2)
        given = " (given)" if d < data.table.given else ""
        axes.set_title(f"{short(column.name, 26)}{given}", fontsize=9)
        (_bars if column.kind == "category" else _histogram)(axes, d, column, data, samples)
    figure.legend(*_legend(data, samples), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    left_out = data.table.names[COLUMNS:]
    if left_out:
        more = ", ".join(short(name, 20) for name in left_out[:5]) + (", …" if len(left_out) > 5 else "")
        what = f"the first {COLUMNS} of {len(data.table.names)} columns, without {more}"
        figure.supxlabel(what, fontsize=8, color="0.4")
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path


def _legend(data: Side, samples: Side) -> tuple[list[Any], list[str]]:
    from matplotlib.patches import Patch

    sides = ((DATA, "data", data), (SAMPLES, "samples", samples))
    return [Patch(color=c) for c, _, _ in sides], [f"{n}, {len(s.values):,} rows" for _, n, s in sides]


def _bars(axes: Any, d: int, column: Column, data: Side, samples: Side) -> None:
    """Draw the share of rows of each level, of all other levels together, and of missing cells."""
    names, others = levels_shown(column, LEVELS)
    labels = [short(name) for name in names] + ([f"{others} others"] if others else [])
    gaps = bool(np.isnan(data.values[:, d]).any() or np.isnan(samples.values[:, d]).any())
    for shift, colour, side in ((-0.2, DATA, data), (0.2, SAMPLES, samples)):
        codes = side.present(d).astype(int)
        counts = np.bincount(codes.clip(max=len(names)), minlength=len(names) + 1)[: len(labels)].tolist()
        counts += [len(side.values) - len(codes)] if gaps else []
        axes.barh(np.arange(len(counts)) + shift, np.array(counts) / len(side.values), 0.4, color=colour)
    labels += ["(missing)"] if gaps else []
    axes.set_yticks(range(len(labels)), labels, fontsize=max(4.5, min(7.0, 110 / len(labels))))
    axes.set_ylim(max(len(labels), 6) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(_percent)


def _histogram(axes: Any, d: int, column: Column, data: Side, samples: Side) -> None:
    """Draw shares of rows; what does not fit, such as spikes above the histogram, is written below it."""
    rest = [side.values[~side.spikes(d) & ~np.isnan(side.values[:, d]), d] for side in (data, samples)]
    view = view_of(*rest)
    edges = view.edges(BINS)
    if column.is_whole and view.high - view.low < EACH and not view.log:
        edges = np.arange(np.floor(view.low + 0.5), np.ceil(view.high - 0.5) + 2) - 0.5
    if view.log:
        axes.set_xscale("log")
    highest = 0.0
    looks: tuple[dict[str, Any], ...] = ({"alpha": 0.45, "color": DATA}, {"histtype": "step", "color": SAMPLES})
    for look, side, values in zip(looks, (data, samples), rest, strict=True):
        heights, *_ = axes.hist(values, edges, weights=np.full(len(values), 1 / len(side.values)), **look)
        highest = max(highest, heights.max(initial=0.0))
    notes = _spikes(axes, d, column, (data, samples), view, highest)
    missing = [(len(side.values) - len(side.present(d))) / len(side.values) for side in (data, samples)]
    if any(missing):
        notes.append(("missing", missing[0], missing[1]))
    beyond = [
        view.beyond(values) / max(1, len(side.values)) for values, side in zip(rest, (data, samples), strict=True)
    ]
    if any(beyond):
        notes.append(("out of view", beyond[0], beyond[1]))
    axes.yaxis.set_major_formatter(_percent)
    axes.locator_params(axis="y", nbins=4)
    ticked(axes, column, "x", view.log, n=5)
    text = "\n".join(f"{what}: {share(a)} of data, {share(b)} of samples" for what, a, b in notes[:4])
    axes.set_xlabel(text, fontsize=6.5, color="0.3", labelpad=2)


def _spikes(
    axes: Any, d: int, column: Column, sides: tuple[Side, Side], view: View, highest: float
) -> list[tuple[str, float, float]]:
    """Draw bars for the spikes, cut where they are much higher than the rest; return them with their shares."""
    places: list[float] = [axis_of(column, spike) for spike in column.spikes]
    shares = [_shares(sides, d, at) for at in places]
    if not places:
        return []
    low, high = view.low, view.high
    if not view.log:  # where there is no place for a zero
        low, high = min(low, *places), max(high, *places)
        width = 0.014 * (high - low)
        for at, pair in zip(places, shares, strict=True):
            axes.bar([at - width / 2, at + width / 2], pair, width, color=[DATA, SAMPLES])
        low, high = low - 2 * width, high + 2 * width
    axes.set_xlim(low, high)
    tallest = max(map(max, shares))
    all_of_it = not highest or (tallest < 3 * highest and not view.log)
    axes.set_ylim(0, (1.05 * max(tallest, highest) if all_of_it else 1.15 * highest) or 1.0)
    return [(f"exactly {_number(column, spike)}", *pair) for spike, pair in zip(column.spikes, shares, strict=True)]


def _shares(sides: tuple[Side, Side], d: int, value: float) -> tuple[float, float]:
    data, samples = (float((side.values[:, d] == value).mean()) for side in sides)
    return data, samples


def _number(column: Column, value: float) -> str:
    if column.kind != "date":
        return f"{value:.6g}"
    return str(np.datetime64(int(value), "D" if column.days else "s"))


def share(value: float) -> str:
    """Write a fraction as a percentage, with more digits of a small one.

    Example:
        >>> share(0.914), share(0.0042), share(0.0)
        ('91.4%', '0.42%', '0%')
    """
    return "0%" if value == 0 else f"{value:.1%}" if value >= 0.01 else f"{value:.2%}"


def _percent(value: float, place: int) -> str:
    return f"{100 * value:.3g}%"
