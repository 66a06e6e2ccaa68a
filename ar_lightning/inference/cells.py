"""How odd each cell of a row is: -log p(cell | all others) of a density for all orders, -log p(cell | those before)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Condition, Given, as_condition, rows_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.core.medium import MixedTable
from ar_lightning.density.density import Density
from ar_lightning.density.orderless import OrderlessDensity
from ar_lightning.media.cell_values import short
from ar_lightning.media.frames import to_frame
from ar_lightning.media.plots import plain_text

__all__ = ["BATCH", "cell_scores", "given_what", "oddest_png", "usual_scores"]

BATCH = 256  # rows
DRAWN = 256  # rows that are drawn of a density to see what is usual
ROWS, COLUMNS = 10, 14  # at most, in a picture
MOST = 10.0  # nats more than usual, of the darkest shade


def given_what(density: Density) -> str:
    """Return what each cell is scored given, in a word."""
    return "others" if isinstance(density, OrderlessDensity) else "before"


@torch.no_grad()
def cell_scores(density: Density, x: Tensor, cond: Given = None) -> Tensor:
    """Return -log p of every cell `(N, D)` in nats; NaN where it is given or missing.

    Of a density for all orders it is given all other cells of the row that are there, and else the cells before it in
    the order of the first member.

    Args:
        x: rows `(N, 1, D)`.
        cond: labels `(N,)` of a conditional density.
    """
    parts = [torch.empty(0, x.shape[-1])]
    for start in tqdm(range(0, len(x), BATCH), "cells", leave=False, unit=" batches", disable=None):
        rows = torch.arange(start, min(start + BATCH, len(x)))
        some = x[rows].to(density.device)
        given = Condition(*(None if t is None else t.to(density.device) for t in rows_of(cond, rows)))
        orderless = isinstance(density, OrderlessDensity)
        terms = density.given_others(some, given) if orderless else density.terms(some, given)  # type: ignore[operator]
        parts.append((-terms).masked_fill(~density.scored(some), torch.nan)[:, 0].float().cpu())
    return torch.cat(parts)


def usual_scores(density: Density, x: Tensor, cond: Given = None, seed: int = 0) -> Tensor:
    """Return the median score of a cell of each column `(D,)`, over rows that the density itself draws.

    They are given what rows `(N, 1, D)` are.
    """
    rows = torch.arange(DRAWN) % len(x)
    mask = density.given_mask(DRAWN)
    known = x[rows] if density.spec.given else None
    unread = density.likelihood.unread(x[rows].to(density.device))
    if known is not None and unread is not None and bool((unread.cpu() & mask).any()):
        raise UserError("a cell of a column that is given is missing")
    labels = as_condition(cond).labels
    classes = torch.arange(DRAWN) % density.spec.classes if density.conditional else None
    given = Condition(classes if labels is None or not density.conditional else labels.cpu()[rows])
    generator = torch.Generator().manual_seed(seed)
    drawn = density.sample(DRAWN, given, known, None if known is None else mask, generator=generator)
    return cell_scores(density, drawn.cpu(), given).nanmedian(0).values


@plain_text()
def oddest_png(
    x: Tensor, cells: np.ndarray, nll: np.ndarray, usual: np.ndarray, table: MixedTable, numbers: Sequence[Any],
    place: str, of: str, path: Path,
) -> Path:  # fmt: skip
    """Draw the rows that are least likely, their cells shaded by how much odder than usual in their column they are.

    Args:
        x: rows `(N, 1, D)`.
        cells: -log p of their cells `(N, D)` in nats.
        nll: -log p of the rows `(N,)`.
        usual: what is usual of each column `(D,)`.
        table: their columns.
        numbers: what rows are called.
        place: what these numbers are: `row`, `line` or `index`.
        of: what each cell is given, in words.
        path: of the picture.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    chosen = np.argsort(-nll, kind="stable")[:ROWS]
    more = cells[chosen] - usual
    columns = np.arange(more.shape[1])
    if len(columns) > COLUMNS:  # those that are oddest in any of the rows
        columns = np.sort(np.argsort(-np.nan_to_num(more, nan=-np.inf).max(0), kind="stable")[:COLUMNS])
    texts = [
        [_text(value) for value in row]
        for row in to_frame(x[torch.from_numpy(chosen)], table).astype(object).to_numpy()[:, columns]
    ]
    shade = Normalize(0, MOST, clip=True)
    figure = Figure(figsize=(1.6 + 1.02 * len(columns), 1.5 + 0.36 * len(chosen)), layout="constrained")
    axes: Any = figure.add_subplot()
    colours = colormaps["OrRd"]
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            value = more[i, columns[j]]
            colour = "0.93" if np.isnan(value) else colours(shade(value))
            axes.add_patch(_cell(j, i, colour))
            ink = "white" if shade(value) > 0.65 else "black" if not np.isnan(value) else "0.45"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    names = [short(table.names[d], 16) for d in columns]
    axes.set_xticks(range(len(columns)), names, rotation=40, ha="left", rotation_mode="anchor", fontsize=8)
    axes.xaxis.tick_top()
    labels = [f"{place} {numbers[i]}: {-nll[i]:.1f}" for i in chosen]
    axes.set_yticks(range(len(chosen)), labels, fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(ScalarMappable(shade, colours), ax=axes, fraction=0.03, pad=0.01, extend="max")
    bar.ax.tick_params(labelsize=7)
    left_out = more.shape[1] - len(columns)
    shown = f"; {left_out} columns that are less odd are not shown" if left_out else ""
    figure.supxlabel(
        f"rows by log p, in nats, the oddest first; shade: nats of -log p({of}) above the median of rows drawn from "
        f"the density; grey: given or missing{shown}",
        fontsize=7, color="0.35", wrap=True,
    )  # fmt: skip
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=130)
    return path


def _text(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    return short(f"{value:.6g}" if isinstance(value, float) else str(value).removesuffix(" 00:00:00"), 13)


def _cell(x: int, y: int, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=1)
