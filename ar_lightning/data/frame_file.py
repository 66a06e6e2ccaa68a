"""Tables in files as pandas frames, their cells as they are: CSV of any dialect, Parquet and Excel."""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ar_lightning.core.errors import UserError, did_you_mean, nearest
from ar_lightning.core.memory import available_memory
from ar_lightning.data.decimals import decimal_commas, with_points
from ar_lightning.data.delimited import read_fields
from ar_lightning.data.gathered import FIELDS, gathered
from ar_lightning.data.header import is_index, named

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ALL", "Frame", "Wanted", "check_size", "kept", "read_cells"]

HEAD = 1000  # rows, at most, by which it is told whether the first one names the columns
SHOWN = 8  # names, at most, in a note


@dataclass(frozen=True)
class Wanted:
    """Which columns to read, and how their names are found."""

    drop: Sequence[str] = ()  # names, or numbers from 0
    header: bool | None = None  # of CSV and Excel: whether the first row names the columns; None to tell from it
    only: Sequence[str] = ()  # all others are left out; as many columns without names will do
    key: str | None = None  # of an .hdf5 file
    texts: Callable[[str], bool] = lambda name: False  # which columns of CSV are texts, whatever they look like
    perhaps: Sequence[str] = ()  # besides `only`, if they are there
    row_names: bool = False  # keep a first column that has no name and counts or names the rows


ALL = Wanted()


class Frame(NamedTuple):
    """The wanted columns of a file."""

    frame: "pd.DataFrame"  # its index is the number of each row
    place: str  # what a row is called: `line` or `row`
    row_names: str | None  # its first column if that counts or names the rows, where it is kept
    notes: tuple[str, ...]  # what was left out, and what was taken for what


def read_cells(path: Path, wanted: Wanted = ALL, holes: bool = True) -> Frame:
    """Read a table; what is no Parquet or Excel file is read as CSV.

    A first column without a name that counts or names the rows is left out. Cells of CSV are as `gathered` gives them.
    """
    match path.suffix.lower():
        case ".parquet" | ".pq":
            frame = _opened(path, "Parquet")
            return _chosen(path, frame.set_axis([*map(str, frame.columns)], axis=1), "row", wanted, False, ())
        case ".xlsx" | ".xlsm":
            sheets = _opened(path, "Excel", header=None, dtype=object, sheet_name=None)
            first, *others = sheets
            frame = sheets[first].dropna(axis=1, how="all").dropna(how="all")
            frame.index += 1
            found = named(path, frame, wanted.header, (*wanted.only, *wanted.perhaps))
            notes = (f"of its sheets, {first} and not {', '.join(others)}", *found.notes) if others else found.notes
            frame = frame.iloc[int(found.header) :].set_axis([*found.names], axis=1)
            return _chosen(path, frame, "row", wanted, found.nameless, notes)
    return _read_text(path, wanted, holes)


def _read_text(path: Path, wanted: Wanted, holes: bool) -> Frame:
    import pandas as pd

    fields = read_fields(path)
    first = next(fields.rows, (0, []))
    head = [first, *islice(fields.rows, min(HEAD, FIELDS // (1 + len(first[1]))))]
    rows, commas = fields.rows, decimal_commas(head) if fields.delimiter != "," else []
    if commas:
        head, rows = [*with_points(head, commas)], with_points(rows, commas)
    top = pd.DataFrame([row for _, row in head], dtype=object) if first[1] else pd.DataFrame()
    found = named(path, top, wanted.header, (*wanted.only, *wanted.perhaps), fields.comment)
    keep, notes = kept(path, found.names, wanted, found.nameless)
    names = [found.names[d] for d in keep]
    texts = [name for name in names if wanted.texts(name) or (found.nameless and name == found.names[0])]
    frame = gathered(chain(head[int(found.header) :], rows), names, keep, texts, holes)
    is_first = found.nameless and bool(keep) and keep[0] == 0
    shown = [found.names[d] for d in commas if d in keep]
    decimals = (f"decimals after a comma in {', '.join(shown[:SHOWN])}{', ...' * (len(shown) > SHOWN)}",) * bool(shown)
    return _without_index(frame, "line", wanted, is_first, (*fields.notes, *decimals, *found.notes, *notes))


def _chosen(
    path: Path, frame: "pd.DataFrame", place: str, wanted: Wanted, nameless: bool, notes: Sequence[str]
) -> Frame:
    keep, more = kept(path, tuple(frame.columns), wanted, nameless)
    is_first = nameless and bool(keep) and keep[0] == 0
    return _without_index(frame.iloc[:, keep], place, wanted, is_first, (*notes, *more))


def _without_index(frame: "pd.DataFrame", place: str, wanted: Wanted, nameless: bool, notes: Sequence[str]) -> Frame:
    """Leave out a first column without a name that counts or names the rows, unless it is asked for."""
    row_names = None
    if nameless and not wanted.only and frame.shape[1] > 1 and is_index(frame.iloc[:, 0]):
        if wanted.row_names:
            row_names = str(frame.columns[0])
        else:
            notes = (*notes, "without its first column, which has no name and counts or names the rows")
            frame = frame.iloc[:, 1:]
    return Frame(frame, place, row_names, tuple(notes))


def kept(
    path: Path, columns: Sequence[str], wanted: Wanted, nameless: bool = False
) -> tuple[list[int], tuple[str, ...]]:
    """Return the positions of the columns to keep, in their order, and what is said of the others.

    Of the first one nothing is said if it is `nameless`.
    """
    if len(set(columns)) < len(columns):
        twice = next(name for i, name in enumerate(columns) if name in columns[:i])
        raise UserError(f"{path}: two columns are named '{twice}'; rename one")
    if wanted.only:
        return _kept_only(path, columns, wanted, nameless)
    dropped = set()
    for name in wanted.drop:
        if name in columns:
            dropped.add(columns.index(name))
        elif name.isdecimal() and int(name) < len(columns):
            dropped.add(int(name))
        else:
            raise UserError(f"data.drop: {path.name} has no column '{name}'{did_you_mean(name, columns)}")
    if len(dropped) == len(columns):
        raise UserError(f"data.drop: no column of {path.name} is left")
    return [d for d in range(len(columns)) if d not in dropped], ()


def _kept_only(path: Path, columns: Sequence[str], wanted: Wanted, nameless: bool) -> tuple[list[int], tuple[str, ...]]:
    also = [name for name in wanted.perhaps if name in columns]
    if set(wanted.only) <= set(columns):
        other = [name for name in columns[int(nameless) :] if name not in wanted.only and name not in also]
        notes = (f"without columns that the density does not have: {', '.join(other)}",) if other else ()
        return [columns.index(name) for name in (*wanted.only, *also)], notes
    if tuple(columns) == tuple(f"x{d}" for d in range(len(wanted.only))):  # as columns without names are called
        return list(range(len(columns))), ()
    missing = next(name for name in wanted.only if name not in columns)
    hint = nearest(missing, columns)
    raise UserError(f"{path}: no column '{missing}'{hint}; this density takes {', '.join(wanted.only)}")


def _opened(path: Path, kind: str, **options: Any) -> Any:
    import pandas as pd

    try:
        check_size(path, SIZES[kind](path))
        return getattr(pd, f"read_{kind.lower()}")(path, **options)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{path}: reading {kind} needs pip install 'ar_lightning[{kind.lower()}]'") from error
    except Exception as error:  # whatever a reader makes of bytes that can be anything
        raise UserError(f"{path}: not a file of {kind}, or a damaged one ({type(error).__name__})") from error


def check_size(path: Path, size: int) -> None:
    """Raise `UserError` if so many bytes of a file do not fit in memory."""
    if size > (free := available_memory()):
        what = f"takes {size / 2**30:,.1f} GiB of memory, and there are {free / 2**30:,.1f}"
        raise UserError(what, path, "leave rows or columns out")


def _size_of_parquet(path: Path) -> int:
    from pyarrow import parquet

    content = parquet.read_metadata(path)
    return 8 * content.num_rows * content.num_columns


def _size_of_excel(path: Path) -> int:
    with zipfile.ZipFile(path) as book:
        return sum(member.file_size for member in book.infolist())


SIZES = {"Parquet": _size_of_parquet, "Excel": _size_of_excel}  # in memory, at least
