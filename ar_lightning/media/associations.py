"""How strongly the columns of a mixed table depend on each other, two by two: one measure for columns of all kinds.

It is 0 for independent columns and 1 where one determines the other: of two numbers the absolute rank correlation
(Spearman, 1904); of two categories Cramér's V without its bias (Bergsma, "A bias-correction for Cramér's V and
Tschuprow's T", 2013); of a category and a number the correlation ratio of the ranks without its bias, the square root
of epsilon squared (Kelley, 1935). A missing value is a level of a category; a row without a number is left out.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.files import written
from ar_lightning.core.medium import MixedTable
from ar_lightning.media.cell_values import Side, short
from ar_lightning.media.plots import evenly, plain_text

__all__ = ["associations", "associations_png"]

COLUMNS = 40  # at most, in a picture
ROWS = 5000
LEVELS = 50  # of a category, at most: all rarer ones are one
WRITTEN = 16  # columns, at most, where numbers are written


def associations(values: np.ndarray, table: MixedTable) -> np.ndarray:
    """Return the matrix `(D, D)` of associations of columns `(N, D)`, NaN where fewer than three rows tell one."""
    found = np.full((values.shape[1], values.shape[1]), np.nan)
    is_category = [column.kind == "category" for column in table.columns]
    columns = [_levels(values[:, d]) if is_category[d] else values[:, d] for d in range(values.shape[1])]
    np.fill_diagonal(found, 1.0)
    for i, j in combinations(range(values.shape[1]), 2):
        a, b = columns[i], columns[j]
        there = ~np.isnan(a) & ~np.isnan(b)
        if there.sum() < 3:
            continue
        pair = sorted(((is_category[i], a[there]), (is_category[j], b[there])), key=lambda side: not side[0])
        (first, x), (second, y) = pair
        measure = _cramers_v if second else _correlation_ratio if first else _spearman
        found[i, j] = found[j, i] = measure(x, y)
    return found


def _levels(codes: np.ndarray) -> np.ndarray:
    """Return levels, those after the first ones as one; a missing value is one more."""
    return np.where(np.isnan(codes), LEVELS + 1.0, codes.clip(max=LEVELS))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata

    a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(abs(a @ b) / scale) if scale else 0.0


def _correlation_ratio(levels: np.ndarray, numbers: np.ndarray) -> float:
    from scipy.stats import rankdata

    _, group, counts = np.unique(levels, return_inverse=True, return_counts=True)
    ranks = rankdata(numbers)
    n, k = len(ranks), len(counts)
    means = np.bincount(group, ranks) / counts
    total, within = ((ranks - ranks.mean()) ** 2).sum(), ((ranks - means[group]) ** 2).sum()
    if n <= k or not total:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - within / total * (n - 1) / (n - k))))


def _cramers_v(x: np.ndarray, y: np.ndarray) -> float:
    (_, a), (_, b) = (np.unique(v, return_inverse=True) for v in (x, y))
    counts = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)).reshape(-1, b.max() + 1)
    n, (r, c) = len(x), counts.shape
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / n
    phi2 = max(0.0, float(((counts - expected) ** 2 / expected).sum()) / n - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / smaller))) if smaller > 0 else 0.0


@plain_text()
def associations_png(data: Side, samples: Side, path: Path) -> Path:
    """Draw the matrices of data and of samples side by side."""
    from matplotlib.figure import Figure

    names = data.table.names
    k = min(len(names), COLUMNS)
    shown = MixedTable(data.table.columns[:k])
    found = [associations(s.values[evenly(len(s.values), ROWS), :k], shown) for s in (data, samples)]
    size = max(3.2, 0.34 * k + 1.8)
    figure = Figure(figsize=(2 * size + 0.8, size + 0.9), layout="compressed")
    for place, (title, matrix) in enumerate(zip(("data", "samples"), found, strict=True), 1):
        axes: Any = figure.add_subplot(1, 2, place)
        image = axes.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
        axes.set_title(title, fontsize=10)
        labels = [short(name, 18) for name in names[:k]]
        axes.set_xticks(range(k), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_yticks(range(k), labels if place == 1 else [""] * k, fontsize=7)
        axes.tick_params(length=0)
        for i, j in np.ndindex(*matrix.shape) if k <= WRITTEN else ():
            if i != j and not np.isnan(matrix[i, j]):
                colour = "white" if matrix[i, j] > 0.6 else "0.25"
                axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(image, ax=figure.axes, shrink=0.7, pad=0.01).ax.tick_params(labelsize=7)
    apart = np.abs(found[0] - found[1])[~np.eye(k, dtype=bool)]
    far = f"; they differ by {np.nanmean(apart):.3f} on average" if not np.isnan(apart).all() else ""
    few = f"; the first {k} of {len(names)} columns" if k < len(names) else ""
    title = "association: |Spearman|, correlation ratio of ranks, Cramér's V, corrected for chance"
    figure.suptitle(f"{title}{far}{few}", fontsize=8)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    return path
