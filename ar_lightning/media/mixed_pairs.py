"""Pairs of columns of a mixed table, of data and of samples: points, boxes by level, rectangles."""

from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.files import written
from ar_lightning.core.medium import Column
from ar_lightning.media.associations import associations
from ar_lightning.media.cell_values import DATA, SAMPLES, Side, levels_shown, short, ticked
from ar_lightning.media.marginals import View, view_of
from ar_lightning.media.plots import evenly, plain_text

__all__ = ["mixed_pairs_png", "strongest"]

COLUMNS = 6  # at most, in a picture
POINTS = 1000
LEVELS = 8
BINS = 20
ROWS = 5000  # that associations are computed of
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def strongest(side: Side, most: int) -> list[int]:
    """Return the numbers of the columns that depend most on others, in their order: at most so many."""
    values = side.values[evenly(len(side.values), ROWS), : 5 * most]
    if values.shape[1] <= most:
        return list(range(values.shape[1]))
    table = type(side.table)(side.table.columns[: values.shape[1]])
    matrix = np.nan_to_num(associations(values, table))
    np.fill_diagonal(matrix, 0)
    mean = np.sort(matrix, 1)[:, -(most - 1) :].mean(1)
    return sorted(np.argsort(-mean, kind="stable")[:most].tolist())


@plain_text()
def mixed_pairs_png(data: Side, samples: Side, path: Path) -> Path:
    """Draw a corner plot of the columns that depend most on each other; rows with a missing cell are not in a pair."""
    from matplotlib.figure import Figure

    chosen = strongest(data, COLUMNS)
    columns = [data.table.columns[d] for d in chosen]
    k = len(chosen)
    views = [view_of(data.present(d), samples.present(d)) for d in chosen]
    size = max(4.6, 1.6 * k + 0.8)
    figure = Figure(figsize=(size, size), layout="constrained")
    random = np.random.default_rng(0)
    for j, i in combinations_with_replacement(range(k), 2):
        axes: Any = figure.add_subplot(k, k, i * k + j + 1)
        axes.tick_params(labelsize=6, length=2)
        x, y = (columns[j], views[j]), (columns[i], views[i])
        pairs = [side.values[:, [chosen[j], chosen[i]]] for side in (data, samples)]
        whole = [pair[~np.isnan(pair).any(1)].T for pair in pairs]
        kinds = [column.kind == "category" for column, _ in (x, y)]
        if all(kinds) and i != j:
            _rectangles(axes, whole, [max(1, len(pair)) for pair in pairs], x[0], y[0])
        for colour, (u, v), pair in zip((DATA, SAMPLES), whole, pairs, strict=True):
            if i == j:
                _marginal(axes, u, len(pair), x, colour)
            elif not any(kinds):
                _points(axes, u, v, x[0], y[0], colour, random)
            elif not all(kinds):
                _boxes(axes, u, v, x[0], y[0], colour)
        _axis(axes, *x, "x", shown=i == k - 1)
        if i == j:
            axes.set_yticks([])
        else:
            _axis(axes, *y, "y", shown=j == 0)
        if i == k - 1:
            axes.set_xlabel(short(columns[j].name, 22), fontsize=8)
        if j == 0 < i:
            axes.set_ylabel(short(columns[i].name, 22), fontsize=8)
    _explain(figure, data, columns)
    figure.align_labels()
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path


def _explain(figure: Any, data: Side, columns: list[Column]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=DATA, alpha=0.6), Patch(facecolor="none", edgecolor=SAMPLES)]
    figure.legend(handles, ["data", "samples"], loc="upper right", fontsize=10, frameon=False)
    total = len(data.table.columns)
    lines = ["boxes: 5, 25, 50, 75 and 95%", "rectangles: share of rows, by area", "rows with missing cells: left out"]
    if len(columns) < total:
        few = total if total <= 5 * COLUMNS else f"the first {5 * COLUMNS}"
        lines.append(f"the {len(columns)} columns of {few} that depend most on others")
    figure.text(0.995, 0.995 - 0.62 / figure.get_figheight(), "\n".join(lines), ha="right", va="top", fontsize=7,
                color="0.4")  # fmt: skip


def _axis(axes: Any, column: Column, view: View, which: str, shown: bool) -> None:
    """Set limits and ticks of an axis."""
    limit, scale, ticks = (getattr(axes, f"set_{which}{part}") for part in ("lim", "scale", "ticks"))
    if column.kind == "category":
        names, others = levels_shown(column, LEVELS)
        labels = [short(name, 12) for name in names] + ([f"{others} others"] if others else [])
        size = 6 if len(labels) < 6 else 5
        turned = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if which == "x" else {}
        ticks(range(len(labels)), labels if shown else [""] * len(labels), fontsize=size, **turned)
        limit(-0.6, len(labels) - 0.4)
        return
    if view.log:
        scale("log")
    limit(view.low, view.high)
    ticked(axes, column, which, view.log)
    axes.tick_params(**{("labelbottom" if which == "x" else "labelleft"): shown})
    if which == "x":
        axes.tick_params(axis="x", rotation=30)


def _codes(values: np.ndarray, column: Column) -> np.ndarray:
    names, _ = levels_shown(column, LEVELS)
    return values.clip(max=len(names)).astype(int)


def _marginal(axes: Any, values: np.ndarray, n: int, side: tuple[Column, View], colour: str) -> None:
    column, view = side
    look: dict[str, Any] = {"alpha": 0.45, "color": DATA} if colour == DATA else {"histtype": "step", "color": colour}
    if column.kind == "category":
        values, edges = _codes(values, column), np.arange(LEVELS + 2) - 0.5
    else:
        edges = view.edges(BINS)
    axes.hist(values, edges, weights=np.full(len(values), 1 / n), **look)


def _points(
    axes: Any, u: np.ndarray, v: np.ndarray, x: Column, y: Column, colour: str, random: np.random.Generator
) -> None:
    """Draw points; whole numbers are moved by less than a half, so that equal ones do not hide each other."""
    rows = evenly(len(u), POINTS)
    moved = [
        w[rows] + (random.uniform(-0.35, 0.35, len(rows)) if column.is_whole else 0) for w, column in ((u, x), (v, y))
    ]
    above = 1 - len(u) / 1e9  # the fewer are drawn over the more
    axes.scatter(*moved, s=4 if len(rows) > 300 else 8, alpha=0.45, linewidths=0, color=colour, zorder=above)


def _boxes(axes: Any, u: np.ndarray, v: np.ndarray, x: Column, y: Column, colour: str) -> None:
    """Draw the quantiles of a number at each level of a category."""
    upright = x.kind == "category"
    codes, numbers = (_codes(u, x), v) if upright else (_codes(v, y), u)
    shift = -0.16 if colour == DATA else 0.16
    lines, mark = (axes.vlines, "_") if upright else (axes.hlines, "|")
    for level in np.unique(codes):
        here = numbers[codes == level]
        if len(here) < 3:  # no quantiles
            axes.scatter(*_placed(np.full(len(here), level + shift), here, upright), s=3, color=colour)
            continue
        q = np.quantile(here, QUANTILES)
        lines(level + shift, q[0], q[4], color=colour, linewidth=0.8)
        lines(level + shift, q[1], q[3], color=colour, linewidth=3.2, alpha=0.7)
        axes.scatter(*_placed(level + shift, q[2], upright), marker=mark, s=22, color=colour)


def _placed(at: Any, number: Any, upright: bool) -> tuple[Any, Any]:
    return (at, number) if upright else (number, at)


def _rectangles(axes: Any, sides: list[np.ndarray], rows: list[int], x: Column, y: Column) -> None:
    """Draw a rectangle for every two levels, whose area is their share of the rows: data filled, samples in outline."""
    from matplotlib.patches import Rectangle

    shares = np.zeros((2, LEVELS, LEVELS))
    for share, (u, v), n in zip(shares, sides, rows, strict=True):
        np.add.at(share, (_codes(u, x), _codes(v, y)), 1 / n)
    looks: tuple[dict[str, Any], ...] = (
        {"facecolor": DATA, "edgecolor": DATA, "alpha": 0.55},
        {"facecolor": "none", "edgecolor": SAMPLES},
    )
    for share, look in zip(shares, looks, strict=True):
        for i, j in zip(*share.nonzero(), strict=True):
            side = 0.94 * (share[i, j] / shares.max()) ** 0.5
            axes.add_patch(Rectangle((i - side / 2, j - side / 2), side, side, linewidth=0.8, **look))
