"""Missing cells of a table, filled: `python run.py complete RUN --input FILE` where the density is of mixed columns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.density.density import Density
from ar_lightning.inference.open import Run
from ar_lightning.inference.rows import TableRows, label_column
from ar_lightning.media.frames import to_frame
from ar_lightning.media.mixed import write_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fill_table"]

DRAWS = 100  # of each row, at least, that medians and quantiles are of
LOW, HIGH = 0.05, 0.95
ROWS = 1024  # rows that are drawn at a time


def fill_table(
    opened: Run, rows: TableRows, where: str, n: int, temperature: float, seed: int, number: int | None, stem: Path
) -> dict[str, Path]:
    """Fill the missing cells of rows and write three files; rows without such cells are as they were.

    `STEM.csv` is the input with each missing cell filled on its own by its median, or by its most frequent level.
    `STEM-draws.csv` has n draws of each incomplete row, in which cells fit each other. `STEM-spread.csv` has a line for
    each filled cell: what it was filled by, its 5 % and 95 % quantiles, and the share of draws that are what it was
    filled by. These are of 100 draws or more.

    No cell is filled by a missing value, also where that is a value to the density: each cell is drawn given that it is
    there.

    Args:
        opened: the run.
        rows: of the input.
        where: what the input is, in messages.
        n: number of draws that are written.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        seed: of the draws.
        number: the class of all rows; None for the labels that they have.
        stem: path of the files, without their endings.

    Raises:
        UserError: nothing is missing, a cell that is given is, or what is missing does not come last in the order of
            the density.
    """
    density = opened.density
    table: Any = density.spec.medium
    x = torch.from_numpy(rows.x)
    holes = x.isnan()
    if not holes.any():
        raise UserError(f"{where}: no cell is missing, so there is nothing to fill")
    _check(density, table, rows, holes, where)
    some = holes[:, 0].any(1).nonzero()[:, 0]  # rows with holes
    labels = _labels(density, rows, number, label_column(opened.config), where)
    draws = _drawn(density, x[some], ~holes[some], None if labels is None else labels[some], max(n, DRAWS), temperature,
                   seed)  # fmt: skip
    middle, low, high = _quantiles(draws, table)
    filled = x.clone()
    filled[some] = torch.where(holes[some], middle, x[some])
    files = {kind: stem.with_name(f"{stem.name}{end}.csv") for kind, end in ENDS.items()}
    whole = _with_holes_filled(rows.frame, to_frame(filled, table), holes, table)
    write_frame(whole, files["filled"])
    write_frame(_long(draws[:, :n], some, table), files["draws"])
    write_frame(_spread(draws, (middle, low, high), holes[some], some, table), files["spread"])
    count = int(holes.sum())
    notice(f"{where}: {count:,} missing cells of {len(some):,} rows, filled by what {draws.shape[1]} draws of each say")
    return files


ENDS = {"filled": "", "draws": "-draws", "spread": "-spread"}


def _check(density: Density, table: MixedTable, rows: TableRows, holes: Tensor, where: str) -> None:
    """Raise `UserError` for a hole that the density cannot fill."""

    def name(i: int, d: int) -> str:
        return f"{rows.place} {rows.frame.index[i]}, column {table.columns[d].name}"

    given = holes[:, 0, : table.given]
    unread = [column.gaps != "level" for column in table.columns[: table.given]]
    given = given & torch.tensor(unread, dtype=torch.bool)
    for i, d in given.nonzero()[:1].tolist():
        raise UserError(f"{name(i, d)}: is missing, and this density is given that column", where, "mend it")
    holes[:, 0, : table.given] = False  # there, to be missing is a value
    for pattern in holes[:, 0].unique(dim=0):
        if pattern.any() and not density.completes(~pattern[None]):
            i = int((holes[:, 0] == pattern).all(1).nonzero()[0])
            order = ", ".join(table.columns[d].name for d in density.model.orders[0].tolist())
            what = f"{name(i, int(pattern.nonzero()[0]))}: does not come last in the order of this density"
            raise UserError(what, where, f"it reads {order}; a density for all orders, such as deep_nade, fills any")


def _labels(density: Density, rows: TableRows, number: int | None, column: str | None, where: str) -> Tensor | None:
    if not density.conditional:
        return None
    if number is not None:
        return torch.full((len(rows.x),), number)
    if rows.labels is None:
        named = f" column {column}, or" if column else ""
        raise UserError(
            f"{where}: this density is conditional: give{named} --cond, a class of {density.spec.class_names}"
        )
    return torch.from_numpy(rows.labels)


def _drawn(
    density: Density, x: Tensor, known: Tensor, labels: Tensor | None, n: int, temperature: float, seed: int
) -> Tensor:
    """Return n draws of each row, `(N, n, 1, D)`."""
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, ROWS // n)
    parts = []
    without_gaps: Any = density.likelihood.without_gaps  # type: ignore[operator]
    with (
        tqdm(total=len(x), desc="filling", unit=" rows", leave=False, disable=None) as bar,
        without_gaps(),
    ):
        for some in torch.arange(len(x)).split(at_once):
            i = some.repeat_interleave(n)
            cond = Condition(None if labels is None else labels[i])
            drawn = density.sample(len(i), cond, x[i], known[i], temperature, generator).cpu()
            parts.append(drawn.view(len(some), n, *x.shape[1:]).to(x.dtype))
            bar.update(len(some))
    return torch.cat(parts)


def _quantiles(draws: Tensor, table: MixedTable) -> tuple[Tensor, Tensor, Tensor]:
    """Return the median of draws `(N, n, 1, D)`, or the most frequent level, and the 5 % and 95 % quantiles.

    They are `(N, 1, D)`, and values that were drawn: the median of whole numbers is one.
    """
    ordered, n = draws.sort(1).values, draws.shape[1]
    middle, low, high = (ordered[:, min(n - 1, int(q * n))] for q in (0.5, LOW, HIGH))
    middle = middle.clone()
    for d, column in enumerate(table.columns):
        if column.kind == "category":
            middle[:, 0, d] = torch.cat([_most_frequent(part) for part in draws[:, :, 0, d].split(ROWS)])
    return middle, low, high


def _most_frequent(levels: Tensor) -> Tensor:
    """Return the most frequent of levels `(N, n)`, `(N,)`; of as many, the first, which is the one that data has more.

    What is missing is so in a whole row.
    """
    there = levels.nan_to_num(0).long()
    counts = (there[:, :, None] == there[:, None]).sum(2)
    best = (counts * (int(there.max()) + 1) - there).argmax(1, keepdim=True)
    return levels.gather(1, best)[:, 0]


def _with_holes_filled(
    frame: "pd.DataFrame", filled: "pd.DataFrame", holes: Tensor, table: MixedTable
) -> "pd.DataFrame":
    """Return the input with its columns, their order and its other cells as they are."""
    whole = frame.astype(object).reset_index(drop=True)
    for d, column in enumerate(table.columns):
        here = holes[:, 0, d].numpy()
        if here.any():
            cells = whole[column.name].to_numpy(object, copy=True)
            cells[here] = _texts(filled[column.name])[here]
            whole[column.name] = cells
    return whole


def _texts(cells: "pd.Series") -> np.ndarray:
    """Return cells as a file has them: dates as ISO 8601 writes them."""
    if cells.dtype.kind == "M":
        text = cells.dt.strftime("%Y-%m-%dT%H:%M:%S")
        return text.str.removesuffix("T00:00:00").to_numpy(object)
    return cells.to_numpy(object)


def _long(draws: Tensor, some: Tensor, table: MixedTable) -> "pd.DataFrame":
    """Return draws `(N, n, 1, D)` as a frame with a line for each, and the number of its row in the input."""
    n = draws.shape[1]
    frame = to_frame(draws.flatten(0, 1), table)
    frame.insert(0, "draw", np.tile(np.arange(n), len(draws)), allow_duplicates=True)
    frame.insert(0, "index", some.repeat_interleave(n).numpy(), allow_duplicates=True)
    return frame


def _spread(
    draws: Tensor, quantiles: tuple[Tensor, Tensor, Tensor], holes: Tensor, some: Tensor, table: MixedTable
) -> "pd.DataFrame":
    """Return a frame with a line for each hole: its row and column, what fills it, and how sure that is."""
    import pandas as pd

    middle, low, high = ([_texts(column) for _, column in to_frame(q, table).items()] for q in quantiles)
    same = (draws == quantiles[0][:, None]).double().mean(1)[:, 0]
    lines = []
    for i, d in holes[:, 0].nonzero().tolist():
        column = table.columns[d]
        ends = ("", "") if column.kind == "category" else (low[d][i], high[d][i])
        lines.append((int(some[i]), column.name, middle[d][i], *ends, f"{float(same[i, d]):.3g}"))
    return pd.DataFrame(lines, columns=["index", "column", "filled", "5%", "95%", "share"], dtype=object)
