"""Missing cells of a table, filled: `python run.py complete RUN --input FILE` where the density is of mixed columns."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.density.density import Density
from ar_lightning.inference.open import Run
from ar_lightning.inference.rows import TableRows, label_column, table_of
from ar_lightning.media.cells import number_of, texts_of
from ar_lightning.media.dates import as_texts
from ar_lightning.media.frames import in_file_order, level_of, to_frame
from ar_lightning.media.mixed import write_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Filled", "draw_holes", "fill", "fill_table", "filled_once", "holes_of"]

DRAWS = 100  # of each row, at least, that medians and quantiles are of
LOW, HIGH = 0.05, 0.95
ROWS = 1024  # rows that are drawn at a time


class Filled(NamedTuple):
    """Rows whose missing cells are filled, and how sure that is."""

    filled: "pd.DataFrame"  # the rows, each missing cell filled on its own by its median, or its most frequent level
    draws: "pd.DataFrame"  # draws of each incomplete row, in which cells fit each other
    spread: "pd.DataFrame"  # of each filled cell: what fills it, 5 % and 95 % quantiles, the share of draws that are it


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
    if not np.isnan(rows.x).any():
        raise UserError(f"{where}: no cell is missing, so there is nothing to fill")
    rows = _labelled(opened.density, rows, number, label_column(opened.config), where)
    parts = fill(opened.density, rows, where, n, temperature, seed)
    files = {kind: stem.with_name(f"{stem.name}{end}.csv") for kind, end in ENDS.items()}
    for kind, path in files.items():
        write_frame(getattr(parts, kind), path, table_of(opened.density.spec))
    cells, some = len(parts.spread), parts.spread["index"].nunique()
    notice(f"{where}: {cells:,} missing cells of {some:,} rows, filled by what {max(n, DRAWS)} draws of each say")
    return files


ENDS = {"filled": "", "draws": "-draws", "spread": "-spread"}


def fill(density: Density, rows: TableRows, where: str, n: int, temperature: float = 1.0, seed: int = 0) -> Filled:
    """Fill the missing cells of rows by what 100 draws or more of each row say, of which n are returned.

    Draws and spread have the place of their row, from 0, in a column `index`. No cell is filled by a missing value.

    Raises:
        UserError: as `fill_table`, unless nothing is missing.
    """
    table: Any = table_of(density.spec)
    x, holes = torch.from_numpy(rows.x), holes_of(density, table, rows, where)
    some = holes[:, 0].any(1).nonzero()[:, 0]  # rows with holes
    with _without_gaps(density):
        draws = draw_holes(density, x[some], holes[some], _of(rows.labels, some), max(n, DRAWS), temperature, seed)
    middle, low, high = _quantiles(draws, table)
    whole = _with_holes_filled(rows.frame, x, holes, some, middle, table)
    return Filled(
        whole, _long(draws[:, :n], some, table), _spread(draws, (middle, low, high), holes[some], some, table)
    )


def filled_once(
    density: Density, rows: TableRows, where: str, temperature: float = 1.0, seed: int = 0
) -> "pd.DataFrame":
    """Return rows whose missing cells are drawn given the others, once, so that the cells of a row fit each other.

    Raises:
        UserError: as `fill`.
    """
    table: Any = table_of(density.spec)
    x, holes = torch.from_numpy(rows.x), holes_of(density, table, rows, where)
    some = holes[:, 0].any(1).nonzero()[:, 0]
    with _without_gaps(density):
        drawn = draw_holes(density, x[some], holes[some], _of(rows.labels, some), 1, temperature, seed)[:, 0]
    return _with_holes_filled(rows.frame, x, holes, some, drawn, table)


def holes_of(density: Density, table: MixedTable, rows: TableRows, where: str) -> Tensor:
    """Return booleans `(N, 1, D)`, the cells to fill; raise `UserError` for one that the density cannot fill."""

    def name(i: int, d: int) -> str:
        return f"{rows.place} {rows.frame.index[i]}, column {table.columns[d].name}"

    holes = torch.from_numpy(rows.x).isnan()
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
    return holes


def _labelled(density: Density, rows: TableRows, number: int | None, column: str | None, where: str) -> TableRows:
    """Return rows with the labels that a conditional density is given: those of a class, or their own."""
    if not density.conditional:
        return rows._replace(labels=None)
    if number is not None:
        return rows._replace(labels=np.full(len(rows.x), number))
    if rows.labels is None:
        named = f" column {column}, or" if column else ""
        raise UserError(
            f"{where}: this density is conditional: give{named} --cond, a class of {density.spec.class_names}"
        )
    return rows


def _of(labels: np.ndarray | None, rows: Tensor) -> Tensor | None:
    return None if labels is None else torch.from_numpy(labels)[rows]


def _without_gaps(density: Density) -> AbstractContextManager[None]:
    """Draw no missing value meanwhile, where that is a value."""
    without: Any = getattr(density.likelihood, "without_gaps", nullcontext)
    return without()  # type: ignore[no-any-return]


def draw_holes(
    density: Density, x: Tensor, holes: Tensor, labels: Tensor | None, n: int, temperature: float, seed: int
) -> Tensor:
    """Return n draws of each row, `(N, n, 1, D)`, of the cells that are holes given the others."""
    generator = torch.Generator().manual_seed(seed)
    if density.spec.support != "mixed":
        x = x.masked_fill(holes, 0.0)  # those are for no eye
    at_once = max(1, ROWS // n)
    parts = [x.new_empty(0, n, *x.shape[1:])]
    with tqdm(total=len(x), desc="filling", unit=" rows", leave=False, disable=None) as bar:
        for start in range(0, len(x), at_once):
            some = torch.arange(start, min(start + at_once, len(x)))
            i = some.repeat_interleave(n)
            cond = Condition(None if labels is None else labels[i])
            drawn = density.sample(len(i), cond, x[i], ~holes[i], temperature, generator).cpu()
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
        if column.kind == "category" and len(draws):
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
    frame: "pd.DataFrame", x: Tensor, holes: Tensor, some: Tensor, drawn: Tensor, table: MixedTable
) -> "pd.DataFrame":
    """Return the rows with what was drawn for `some` of them; their columns and other cells stay as they are."""
    filled = x.clone()
    filled[some] = torch.where(holes[some], drawn, x[some])
    cells = to_frame(filled, table)
    whole, names = frame.copy(), [*map(str, frame.columns)]
    for d, column in enumerate(table.columns):
        here = holes[:, 0, d].numpy()
        if here.any():
            place = names.index(column.name)
            whole.isetitem(
                place, _mended(frame.iloc[:, place].reset_index(drop=True), cells[column.name], here, column)
            )
    return whole


def _mended(series: "pd.Series", cells: "pd.Series", here: np.ndarray, column: Column) -> Any:
    """Return a column whose holes are filled by other cells, in its own type where that holds them."""
    import pandas as pd

    if series.dtype.kind == "M" and cells.dtype.kind == "M":
        zone = getattr(series.dtype, "tz", None)
        when = cells.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else cells
        return series.where(~here, when).array
    values = series.to_numpy(object, copy=True)
    values[here] = _as_written(_texts(cells[here], column), series, column)
    if isinstance(series.dtype, pd.CategoricalDtype) and {*values[here]} <= {*series.cat.categories}:
        return pd.Categorical(values, dtype=series.dtype)
    return pd.Series(values, dtype=object).infer_objects().array


def _as_written(cells: np.ndarray, series: "pd.Series", column: Column) -> np.ndarray:
    """Return levels as a column has them: 1 and True where these are no texts."""
    import pandas as pd

    if column.kind != "category":
        return cells
    texts = texts_of(series)
    own: dict[str, Any] = {}
    if pd.api.types.is_numeric_dtype(series):
        own = {level: number for level in column.levels if (number := number_of(level)) is not None}
    for k, i in zip(*np.unique(texts.codes, return_index=True), strict=True):
        if k >= 0 and not isinstance(value := series.iloc[i], str):
            level = level_of(texts.values[k], column)
            own |= {} if level is None else {column.levels[level]: value}
    own |= {column.levels[-1]: column.levels[-1]} if column.other else {}  # it stands for many
    return np.array([own.get(cell, cell) for cell in cells], object)


def _texts(cells: "pd.Series", column: Column) -> np.ndarray:
    """Return cells as a file has them."""
    return (as_texts(cells, column) if cells.dtype.kind == "M" else cells).to_numpy(object)


def _long(draws: Tensor, some: Tensor, table: MixedTable) -> "pd.DataFrame":
    """Return draws `(N, n, 1, D)` as a frame with a line for each, and the number of its row in the input."""
    n = draws.shape[1]
    frame = in_file_order(to_frame(draws.flatten(0, 1), table), table)
    frame.insert(0, "draw", np.tile(np.arange(n), len(draws)), allow_duplicates=True)
    frame.insert(0, "index", some.repeat_interleave(n).numpy(), allow_duplicates=True)
    return frame


def _spread(
    draws: Tensor, quantiles: tuple[Tensor, Tensor, Tensor], holes: Tensor, some: Tensor, table: MixedTable
) -> "pd.DataFrame":
    """Return a frame with a line for each hole: its row and column, what fills it, and how sure that is."""
    import pandas as pd

    middle, low, high = (
        [_texts(cells, table.columns[d]) for d, (_, cells) in enumerate(to_frame(q, table).items())] for q in quantiles
    )
    same = (draws == quantiles[0][:, None]).double().mean(1)[:, 0]
    lines = []
    for i, d in holes[:, 0].nonzero().tolist():
        column = table.columns[d]
        ends = (None, None) if column.kind == "category" else (low[d][i], high[d][i])
        lines.append((int(some[i]), column.name, middle[d][i], *ends, float(f"{float(same[i, d]):.3g}")))
    names = ["index", "column", "filled", "5%", "95%", "share"]
    return pd.DataFrame(lines, columns=names, dtype=object).astype({"share": float})
