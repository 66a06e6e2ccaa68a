"""The names of a table's columns: its first row where that names them, and the column that only counts its rows."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ar_lightning.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Named", "is_index", "is_number", "named"]

WHOLE = re.compile("[0-9]+")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-", ".")  # what stands for a missing value, no name
INDEX = ("", "Unnamed: 0")  # what pandas calls the index of a frame, in a file and read back
SHOWN = 8  # names, at most, in a message
ROWS = 20  # so many rows without a whole number show that whole numbers above them are names


@dataclass(frozen=True)
class Named:
    """The names of columns, and where they stand."""

    names: tuple[str, ...]
    header: bool  # the first row is their names, and no row of values
    nameless: bool  # the first column has a header but no name: it may count or name the rows, as `is_index` tells
    notes: tuple[str, ...]  # what was taken for what


def named(
    path: Path, frame: "pd.DataFrame", header: bool | None, known: Sequence[str] = (), comment: Sequence[str] = ()
) -> Named:
    """Take the first row for the names of the columns if it names them; columns without a name are x0, x1, ...

    Args:
        path: the file, for messages.
        frame: fields of text or cells of a sheet, the first rows of them at least.
        header: whether the first row names the columns; None to tell from the fields.
        known: names that some of the columns have if they have names.
        comment: fields of a comment before the table, which may name its columns.

    Raises:
        UserError: there are no rows, or the first one may be names or values.
    """
    if frame.empty:
        raise UserError(f"{path}: is empty")
    first = ["" if field != field else "".join(str(field).splitlines()).strip() for field in frame.iloc[0]]
    has_header = _names(path, first, frame.iloc[1:], known) if header is None else header
    notes, names = [], first
    in_row = has_header
    if has_header:
        if any(map(is_number, first)):
            notes.append(f"names of columns are {_some(first)}")
    elif header is None and len(comment) == len(first) and not any(map(is_number, comment)):
        has_header, names = True, [name.strip() for name in comment]
        notes.append(f"names of columns are in a comment: {_some(names)}")
    if in_row and len(frame) == 1:
        raise UserError(f"{path}: has a header but no rows")
    nameless = has_header and names[0] in INDEX and len(names) > 1
    names = [name if has_header and name else f"x{d}" for d, name in enumerate(names)]
    return Named(tuple(names), in_row, nameless, tuple(notes))


def _names(path: Path, first: Sequence[str], below: "pd.DataFrame", known: Sequence[str]) -> bool:
    """Return whether the first row names the columns below it."""
    if known and set(known) <= set(first):
        return True
    numbers = [field for field in first if is_number(field)]
    if not numbers:
        return True
    if len(below) == 0 or len(set(first)) < len(first) or not all(map(WHOLE.fullmatch, numbers)):
        return False
    if first[0] in INDEX and len(numbers) == len(first) - 1 and _counts(below.iloc[:, 0]):
        return True  # as pandas writes an array: ,0,1,2
    if len(numbers) < len(first):  # a name above numbers makes the others names, too: height, weight, 2003, 2004
        texts = [d for d, field in enumerate(first) if field.lower() not in MISSING and not is_number(field)]
        return any(all(map(is_number, below.iloc[:, d])) for d in texts)
    values = list(map(int, first))
    counted = values == list(range(values[0], values[0] + len(values))) and (len(values) > 1 or values == [0])
    any_whole = any(WHOLE.fullmatch(str(field).strip()) for row in below.to_numpy() for field in row)
    if not any_whole:
        return counted or len(below) >= ROWS
    if counted and not known and not (len(values) == 1 and "0" in set(map(str, below.iloc[:, 0]))):
        raise UserError(
            f"{path}: its first row, {_some(first)}, may be names or values; give data.header=true or false"
        )
    return False


def _counts(column: "pd.Series") -> bool:
    """Return whether a column numbers the rows, in any order and from any number."""
    return column.is_unique and all(WHOLE.fullmatch(str(field).strip()) for field in column)


def is_index(column: "pd.Series") -> bool:
    """Return whether a column counts or names the rows; one of measurements does not, though all may differ."""
    return _counts(column) or (column.is_unique and not any(map(is_number, column)))


def _some(names: Sequence[str]) -> str:
    return ", ".join([*filter(None, names[:SHOWN]), *(["..."] if len(names) > SHOWN else [])])


def is_number(field: Any, largest: float = sys.float_info.max) -> bool:
    """Return whether a field is a finite number, no larger; `1_234` is none, though Python reads it as one."""
    try:
        return abs(float(field)) <= largest and "_" not in str(field)
    except (TypeError, ValueError):
        return False
