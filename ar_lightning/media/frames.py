"""Rows of a mixed table as a pandas frame, and back: each column in its own type and units."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.media.cells import MISSING, numbers_of, texts_of
from ar_lightning.media.dates import dates_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DAY", "FARTHEST", "from_frame", "in_file_order", "level_of", "stored", "to_frame"]

DAY = 86_400  # seconds
FARTHEST = 2**24  # of a whole number from the offset: single precision holds all below it
FIRST, LAST = -62_135_596_800, 253_402_300_799  # seconds since 1970 of the years 1 and 9999, which have names
SHOWN = 8  # names, at most, in a message


def to_frame(x: Tensor, table: MixedTable) -> "pd.DataFrame":
    """Return stored rows `(N, 1, D)` as a frame: texts, whole and real numbers, dates; missing cells are missing.

    Whole numbers are integers, `Int64` where some are missing. Real numbers have as many digits as single precision
    tells apart on their scale, so that 5.1 is 5.1 again.
    """
    import pandas as pd

    rows = x.detach().cpu().flatten(1).numpy()
    return pd.DataFrame({column.name: _cells(rows[:, d], column) for d, column in enumerate(table.columns)})


def in_file_order(frame: "pd.DataFrame", table: MixedTable) -> "pd.DataFrame":
    """Return a frame with its columns in the order of the training file, wherever the density has them."""
    first = [name for name in table.header if name in frame.columns]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def from_frame(
    frame: "pd.DataFrame", table: MixedTable, where: str, place: str = "row", holes: bool = False, given: bool = False
) -> np.ndarray:
    """Return a frame as stored rows `(N, 1, D)` float32, NaN where a cell is missing.

    Columns are matched by their names, in any order; others are left out, and that is said.

    Args:
        frame: of texts, numbers, dates, or texts of these.
        table: what the density knows of the columns.
        where: what the frame is, for messages.
        place: what a row is called in messages; the frame's index says which.
        holes: cells may be missing where the training data had none.
        given: only the columns that are given have to be there; all cells of the others are missing.

    Raises:
        UserError: a column is not there, or a cell is not what its column holds: a category that the density does not
            know, text among numbers, a missing cell.
    """
    names = list(map(str, frame.columns))
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise UserError(f"two columns are named '{twice}'", where, "rename one")
    if other := [name for name in names if name not in table.names]:
        notice(f"{where}: without columns that the density does not have: {_some(other)}")
    rows = np.full((len(frame), 1, len(table.columns)), np.nan, np.float32)
    for d, column in enumerate(table.columns[: table.given if given else None]):
        if column.name not in names:
            hint = nearest(column.name, names).removeprefix("; ") or f"this density takes {_some(table.names)}"
            raise UserError(f"no column '{column.name}'", where, hint)
        series = frame.iloc[:, names.index(column.name)].rename(column.name)
        rows[:, 0, d] = stored(series, column, where, place)
        for i in np.flatnonzero(np.isnan(rows[:, 0, d]))[: int(not holes and column.gaps == "none")]:
            what = f"{place} {frame.index[i]}, column {column.name}: a value is missing"
            raise UserError(what, where, "mend or remove that row: in training this column had all values")
    return rows


def stored(series: "pd.Series", column: Column, where: str, place: str = "row") -> np.ndarray:
    """Return the cells of one column as they are stored, `(N,)` float32; a `UserError` names what it cannot hold."""
    if column.kind == "category":
        return _codes(series, column, where, place)
    is_date = column.kind == "date"
    values = dates_of(series, where, place, column.written) if is_date else numbers_of(series, where, place)
    if column.kind == "date" and column.days:
        values = values / DAY

    def refuse(bad: np.ndarray, why: str, hint: str) -> None:
        for i in np.flatnonzero(bad & ~np.isnan(values))[:1]:
            text = texts_of(series.iloc[i : i + 1]).values[0]
            raise UserError(f"{place} {series.index[i]}, column {column.name}: {text} {why}", where, hint)

    if column.is_whole:
        hint = "mend it, or leave that row out"
        kind = "a whole day" if column.kind == "date" else "a whole number"
        refuse(values != np.floor(values), f"is not {kind}", hint)
        if column.lowest is not None:
            refuse(values < column.lowest, f"is below {column.lowest:g}, the least that this column can be", hint)
        refuse(np.abs(values - column.offset) >= FARTHEST, f"is too far from {column.offset:.0f} to be stored", hint)
        return (values - column.offset).astype(np.float32)
    with np.errstate(over="ignore"):
        z = ((values - column.offset) / column.scale).astype(np.float32)
    refuse(np.isinf(z), "is too far from the values of the training data for single precision", "mend it")
    return z


def level_of(text: str, column: Column) -> int | None:
    """Return the number of the level of this text, or of this number; None where there is none.

    Example:
        >>> column = Column("a", "category", levels=("1", "true"))
        >>> [level_of(text, column) for text in ("1", "1.0", "01", "True", "no")]
        [0, 0, None, 1, None]
    """
    if text in column.levels:
        return column.levels.index(text)
    if text.lower() in ("true", "false"):
        same = [k for k, level in enumerate(column.levels) if level.lower() == text.lower()]
    else:
        amount = _amount(text)
        same = [k for k, level in enumerate(column.levels) if amount is not None and _amount(level) == amount]
    if len(same) == 1:
        return same[0]
    return len(column.levels) - 1 if column.other else None


def _amount(text: str) -> float | None:
    """Return the number that a text is, unless zeros before it make it a name, such as 007."""
    try:
        return None if re.match(r"[+-]?0\d", text) else float(text)
    except ValueError:
        return None


def _codes(series: "pd.Series", column: Column, where: str, place: str) -> np.ndarray:
    texts = texts_of(series, [text for text in MISSING if text not in column.levels])
    exact = {level: k for k, level in enumerate(column.levels)}
    codes = [exact[text] if text in exact else level_of(text, column) for text in texts.values]
    if None in codes:
        k = codes.index(None)
        what = f"{place} {series.index[texts.first(k)]}, column {column.name}: unknown category '{texts.values[k]}'"
        hint = nearest(texts.values[k], column.levels).removeprefix("; ")
        raise UserError(what, where, hint or f"this density knows {_some(column.levels)}")
    return np.array([*codes, np.nan], np.float32)[texts.codes]


def _cells(z: np.ndarray, column: Column) -> Any:
    """Return the cells of a column in its own type."""
    import pandas as pd

    missing = np.isnan(z)
    if column.kind == "category":
        levels = np.array([*column.levels, None], object)
        cells = levels[np.where(missing, len(column.levels), z).astype(np.int64)]
        return pd.Series(cells, dtype=object)
    if column.is_whole:
        numbers = np.where(missing, 0, z).astype(np.float64).round() + column.offset
    else:
        numbers = _shortened(z, column)
    if column.kind == "date":
        seconds = np.where(missing, 0, numbers * (DAY if column.days else 1)).clip(FIRST, LAST).round()
        when = seconds.astype(np.int64).astype("datetime64[s]")
        return np.where(missing, np.datetime64("NaT"), when)
    if not column.is_whole:
        return numbers
    whole = numbers.astype(np.int64)
    return pd.arrays.IntegerArray(whole, missing) if missing.any() else whole


def _shortened(z: np.ndarray, column: Column) -> np.ndarray:
    """Return real numbers with as few digits as tell how they are stored; point masses exactly."""
    exact = column.offset + column.scale * z.astype(np.float64)
    reach = 0.49999 * column.scale * np.spacing(np.abs(z) * np.float32(1 - 2**-24)).astype(np.float64)
    values = exact.copy()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for more in (1, 0):  # a digit less if that will do
            tens = 10.0 ** np.clip(np.floor(-np.log10(2 * reach)) + more, 0, 22)  # exact in double precision
            short = np.round(exact * tens) / tens
            values = np.where((np.abs(short - exact) < reach) & (np.abs(exact * tens) < 2**52), short, values)
    for spike in column.spikes:
        values[z == np.float32((spike - column.offset) / column.scale)] = spike
    return values


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
