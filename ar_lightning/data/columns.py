"""Numeric columns from files: CSV of any dialect, Parquet, Excel, .npz and .hdf5."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean, nearest
from ar_lightning.core.memory import available_memory
from ar_lightning.data.base import SPLITS
from ar_lightning.data.delimited import read_fields
from ar_lightning.data.header import is_number, named
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.user.keys import keys_of
from ar_lightning.data.user.reals import LIMITS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Frame", "Wanted", "read_columns", "read_frame", "read_hdf5"]

LARGEST = float(LIMITS.max)


class Columns(NamedTuple):
    """Columns of a file."""

    names: tuple[str, ...]
    x: dict[str, np.ndarray]  # rows `(N, D)` float64 by split, or all as `data`
    notes: tuple[str, ...] = ()  # what was left out, and what was taken for what


class Frame(NamedTuple):
    """A table as a file has it; the index is the number of each row there."""

    frame: "pd.DataFrame"
    place: str  # what a row is called: line or row
    row_names: str | None = None  # the column that counts or names the rows
    notes: tuple[str, ...] = ()  # what was taken for what


@dataclass(frozen=True)
class Wanted:
    """Which columns to read, and how their names are found."""

    drop: Sequence[str] = ()  # names, or numbers from 0
    header: bool | None = None  # of CSV and Excel: whether the first row names the columns; None to tell from it
    only: Sequence[str] = ()  # all others are left out; as many columns without names will do
    key: str | None = None  # of an .hdf5 file


def read_columns(path: Path, wanted: Wanted = Wanted()) -> Columns:
    """Read the names of the columns and the rows by split; all rows are `data` if the file has no splits.

    What is no Parquet, Excel, .npz or .hdf5 file is read as CSV. A first column without a name that counts or names the
    rows is left out. Columns that are not wanted may hold anything.

    Raises:
        UserError: the file is not of its kind, or a wanted column is not there or holds what is no number.
    """
    suffix = path.suffix.lower()
    if suffix in (".hdf5", ".h5"):
        return _of_arrays(path, {"data": read_hdf5(path, wanted.key)}, wanted)
    if wanted.key is not None:
        raise UserError(f"data.key={wanted.key}: only .hdf5 files have keys, and {path.name} is none; leave it out")
    if suffix == ".npz":
        arrays, left_out = _npz_arrays(path)
        return _of_arrays(path, arrays, wanted)._replace(notes=left_out)
    return _of_frame(path, read_frame(path, wanted.header, wanted.only), wanted)


def read_frame(path: Path, header: bool | None = None, known: Sequence[str] = ()) -> Frame:
    """Read all columns of a Parquet or Excel file, or else of a CSV, whatever they hold; all have names.

    Args:
        path: the file.
        header: of CSV and Excel: whether the first row names the columns; None to tell from it.
        known: names that some of the columns have if they have names.

    Raises:
        UserError: the file is not of its kind, or has no rows.
    """
    match path.suffix.lower():
        case ".npz" | ".hdf5" | ".h5":
            raise UserError("holds arrays, whose columns have no names", path, "give a CSV, Parquet or Excel file")
        case ".parquet" | ".pq":
            return Frame(_opened(path, "Parquet"), "row")
        case ".xlsx" | ".xlsm":
            sheets = _opened(path, "Excel", header=None, dtype=object, sheet_name=None)
            first, *others = sheets
            frame = sheets[first].dropna(axis=1, how="all").dropna(how="all")
            frame.index += 1
            found = named(path, frame, header, known)
            notes = (f"of its sheets, {first} and not {', '.join(others)}", *found.notes) if others else found.notes
            return Frame(found.frame, "row", found.index, notes)
        case _:
            import pandas as pd

            fields = read_fields(path)
            frame = pd.DataFrame(list(fields.rows.values()), index=list(fields.rows), dtype=object)
            found = named(path, frame, header, known, fields.comment)
            return Frame(found.frame, "line", found.index, (*fields.notes, *found.notes))


def read_hdf5(path: Path, key: str | None = None) -> np.ndarray:
    """Read one dataset of an .hdf5 file: that of `key`, else the only one."""
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: reading .hdf5 needs h5py; pip install 'ar_lightning[hdf5]'") from None
    try:
        with h5py.File(path) as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            if key is None and len(names) != 1:
                shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
                raise UserError(f"{path}: holds {len(names)} datasets; give data.key, one of {shown or 'none'}")
            if key is not None and key not in names:
                raise UserError(f"{path}: no dataset '{key}'{did_you_mean(key, names)}")
            found = file[names[0] if key is None else key]
            _check_size(path, found.nbytes)
            return np.asarray(found)
    except OSError as error:
        raise UserError(f"{path}: not an .hdf5 file, or a damaged one ({type(error).__name__})") from error


def _npz_arrays(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the splits of an .npz file, or its rows as `data`, and what is left out of it."""
    names = npz_names(path)
    of = {"data": "data"} if "data" in names and "train" not in names else keys_of(names, path).of
    if "data" not in of and "train" not in of:
        raise UserError(f"{path}: no array 'data', nor 'train' with optional 'valid' and 'test'; save rows (N, D) so")
    read = {role: name for role, name in of.items() if role in (*SPLITS, "data")}
    left_out = sorted(set(names) - set(read.values()))
    arrays = read_npz(path, read.values())
    return {role: arrays[name] for role, name in read.items()}, (f"without {', '.join(left_out)}",) * bool(left_out)


def _of_arrays(path: Path, arrays: dict[str, np.ndarray], wanted: Wanted) -> Columns:
    """Check arrays, and name their columns x0, x1, ..."""
    columns: tuple[str, ...] = ()
    x = {}
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
            raise UserError(f"{path}: '{name}' is {array.dtype} of shape {array.shape}; save numbers (N, D)")
        columns = columns or tuple(f"x{d}" for d in range(array.shape[1]))
        if array.shape[1] != len(columns):
            raise UserError(f"{path}: '{name}' has {array.shape[1]} columns where others have {len(columns)}")
        x[name] = array.astype(np.float64)
    keep = _kept(path, columns, wanted)
    for name, array in x.items():
        x[name] = array[:, keep]
        for row, d in np.argwhere(~(np.abs(x[name]) <= LARGEST))[:1]:  # NaN compares to nothing
            column = columns[keep[d]]
            what = f"row {row}, column {column}: {_no_number(str(x[name][row, d]))}; {_fix(column, wanted)}"
            raise UserError(f"{path}: '{name}', {what}")
    return Columns(tuple(columns[d] for d in keep), x)


def _of_frame(path: Path, read: Frame, wanted: Wanted) -> Columns:
    """Check that the wanted columns hold numbers."""
    frame, place, index, notes = read
    columns = tuple(map(str, frame.columns))
    if twice := next((name for i, name in enumerate(columns) if name in columns[:i]), None):
        raise UserError(f"{path}: two columns are named '{twice}'; rename one")
    keep = _kept(path, columns, wanted)
    if index is not None and not wanted.only and keep[0] == 0 and len(keep) > 1:
        keep = keep[1:]
        notes = (*notes, "without its first column, which has no name and counts or names the rows")
    if left_out := [name for name in columns if wanted.only and name not in wanted.only and name != index]:
        notes = (*notes, f"without columns that the density does not have: {', '.join(left_out)}")
    frame = frame.iloc[:, keep]
    try:
        if any(kind.kind in "mM" for kind in frame.dtypes):
            raise TypeError("dates would pass as numbers")
        x = frame.to_numpy(np.float64, na_value=np.nan)
        texts = frame.select_dtypes(object).to_numpy().ravel()
        is_legal = bool((np.abs(x) <= LARGEST).all()) and not any("_" in text for text in texts if type(text) is str)
    except (TypeError, ValueError):
        is_legal = False
    if not is_legal:
        raise UserError(f"{path}: {_what_is_no_number(frame, place, wanted)}")
    return Columns(tuple(columns[d] for d in keep), {"data": x}, tuple(notes))


def _opened(path: Path, kind: str, **options: Any) -> Any:
    import pandas as pd

    try:
        _check_size(path, SIZES[kind](path))
        return getattr(pd, f"read_{kind.lower()}")(path, **options)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{path}: reading {kind} needs pip install 'ar_lightning[{kind.lower()}]'") from error
    except Exception as error:  # whatever a reader makes of bytes that can be anything
        raise UserError(f"{path}: not a file of {kind}, or a damaged one ({type(error).__name__})") from error


def _check_size(path: Path, size: int) -> None:
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


def _kept(path: Path, columns: Sequence[str], wanted: Wanted) -> list[int]:
    """Return the indices of the columns to keep, in their order."""
    if wanted.only:
        if set(wanted.only) <= set(columns):
            return [columns.index(name) for name in wanted.only]
        if tuple(columns) == tuple(f"x{d}" for d in range(len(wanted.only))):  # as columns without names are called
            return list(range(len(columns)))
        missing = next(name for name in wanted.only if name not in columns)
        hint = nearest(missing, columns)
        raise UserError(f"{path}: no column '{missing}'{hint}; this density takes {', '.join(wanted.only)}")
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
    return [d for d in range(len(columns)) if d not in dropped]


def _what_is_no_number(frame: "pd.DataFrame", place: str, wanted: Wanted) -> str:
    """Describe the first field that is not a number, and how to mend it: leave the column out, or edit the row."""
    rows = zip(frame.index, frame.astype(object).to_numpy(), strict=True)
    i, d, value = next((i, d, v) for i, row in rows for d, v in enumerate(row) if not is_number(v, LARGEST))
    column = frame.columns[d]
    text = "" if value is None or value != value else str(value).strip()
    if is_number(text.replace(",", ".")) and "," in text:
        return f"{place} {i}, column {column}: '{text}' is no number; write decimals with a point"
    if not wanted.only and not any(map(is_number, frame.iloc[:, d].astype(object))):
        return f"column {column} is text, not numbers; leave it out: data.drop=[{column}]"
    return f"{place} {i}, column {column}: {_no_number(text)}; {_fix(column, wanted)}"


def _no_number(text: str) -> str:
    if is_number(text):
        return f"{text} is beyond the numbers of single precision, {LARGEST:.1e}"
    return f"'{text}' is no number" if text else "a value is missing"


def _fix(column: str, wanted: Wanted) -> str:
    return "mend or remove that row" + ("" if wanted.only else f", or leave the column out: data.drop=[{column}]")
