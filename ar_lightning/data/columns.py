"""Numeric columns from files: CSV of any dialect, Parquet, Excel, .npz and .hdf5."""

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.data.base import SPLITS
from ar_lightning.data.npz_file import read_npz

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "read_columns", "read_hdf5"]

Columns = tuple[tuple[str, ...], dict[str, np.ndarray]]  # names, and rows `(N, D)` float64 by split, or as `data`
DELIMITERS = (",", ";", "\t")


def read_columns(path: Path, drop: Sequence[str] = (), key: str | None = None) -> Columns:
    """Read the names of the columns and the rows by split; all rows are `data` if the file has no splits.

    Columns to `drop` are given by name or number from 0, the dataset in an .hdf5 file by its `key`. What is no Parquet,
    Excel, .npz or .hdf5 file is read as CSV.
    """
    suffix = path.suffix.lower()
    if suffix in (".hdf5", ".h5"):
        return _of_arrays(path, {"data": read_hdf5(path, key)}, drop)
    if key is not None:
        raise UserError(f"data.key={key}: only .hdf5 files have keys, and {path.name} is none; leave it out")
    match suffix:
        case ".npz":
            return _of_arrays(path, _npz_arrays(path), drop)
        case ".parquet" | ".pq":
            return _of_frame(path, _opened(path, "Parquet"), "row", drop)
        case ".xlsx" | ".xlsm":
            frame = _opened(path, "Excel", header=None, dtype=object).dropna(axis=1, how="all").dropna(how="all")
            frame.index += 1
            return _of_frame(path, _with_header(path, frame), "row", drop)
        case _:
            return _of_frame(path, _with_header(path, _csv(path)), "line", drop)


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
            return np.asarray(file[names[0] if key is None else key])
    except OSError as error:
        raise UserError(f"{path}: not an .hdf5 file, or a damaged one ({type(error).__name__})") from error


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    found = read_npz(path, (*SPLITS, "data"))
    if "train" in found:
        return {name: array for name, array in found.items() if name != "data"}
    if "data" not in found:
        raise UserError(f"{path}: no array 'data', nor 'train' with optional 'valid' and 'test'; save rows (N, D) so")
    return {"data": found["data"]}


def _of_arrays(path: Path, arrays: dict[str, np.ndarray], drop: Sequence[str]) -> Columns:
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
    keep = _kept(path, columns, drop)
    for name, array in x.items():
        x[name] = array[:, keep]
        if len(bad := np.argwhere(~np.isfinite(x[name]))):
            row, d = bad[0].tolist()
            what = f"row {row}, column {columns[keep[d]]}: {x[name][row, d]} is no number"
            raise UserError(f"{path}: '{name}', {what}; {_fix(columns[keep[d]])}")
    return tuple(columns[d] for d in keep), x


def _of_frame(path: Path, frame: "pd.DataFrame", place: str, drop: Sequence[str]) -> Columns:
    """Check that the columns to keep hold numbers; `place` is what a row is called, and the index its number."""
    columns = tuple(map(str, frame.columns))
    if twice := next((name for i, name in enumerate(columns) if name in columns[:i]), None):
        raise UserError(f"{path}: two columns are named '{twice}'; rename one")
    keep = _kept(path, columns, drop)
    frame = frame.iloc[:, keep]
    try:
        if any(kind.kind in "mM" for kind in frame.dtypes):
            raise TypeError("dates would pass as numbers")
        x = frame.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        x = np.array(np.nan)
    if not np.isfinite(x).all():
        raise UserError(f"{path}: {_what_is_no_number(frame, place)}")
    return tuple(columns[d] for d in keep), {"data": x}


def _opened(path: Path, kind: str, **options: Any) -> "pd.DataFrame":
    import pandas as pd

    try:
        return getattr(pd, f"read_{kind.lower()}")(path, **options)
    except ImportError as error:
        raise UserError(f"{path}: reading {kind} needs pip install 'ar_lightning[{kind.lower()}]'") from error
    except Exception as error:  # whatever a reader makes of bytes that can be anything
        raise UserError(f"{path}: not a file of {kind}, or a damaged one ({type(error).__name__})") from error


def _csv(path: Path) -> "pd.DataFrame":
    """Read the fields of a CSV as text; the index is the line that a row starts in."""
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; give a CSV, Parquet, Excel, .npz or .hdf5 file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    delimiter = _delimiter(text.lstrip().partition("\n")[0])
    lines = (" ".join(line.split()) for line in StringIO(text)) if delimiter == " " else StringIO(text)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: dict[int, list[str]] = {}
    line = 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                rows[line] = row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); mend it") from error
    first = next(iter(rows), line)
    for line, row in rows.items():
        if len(row) != len(rows[first]):
            lengths = f"line {line} has {len(row)} values where line {first} has {len(rows[first])}"
            raise UserError(f"{path}: {lengths}; mend it")
    return pd.DataFrame(list(rows.values()), index=list(rows), dtype=object)


def _delimiter(line: str) -> str:
    """Return the delimiter of a line, whose quoted texts do not count; a space for any white space."""
    counts = {delimiter: len(next(csv.reader([line], delimiter=delimiter), [])) for delimiter in DELIMITERS}
    # Semicolons separate where there are any: the commas beside them are decimal points.
    best = ";" if counts[";"] > 1 else max(DELIMITERS, key=lambda delimiter: counts[delimiter])
    return best if counts[best] > 1 else " "


def _with_header(path: Path, frame: "pd.DataFrame") -> "pd.DataFrame":
    """Take the first row for the names of the columns if it holds no number."""
    if frame.empty:
        raise UserError(f"{path}: is empty")
    first = ["" if field != field else "".join(str(field).splitlines()).strip() for field in frame.iloc[0]]
    has_header = not any(map(_is_number, first))
    if has_header and len(frame) == 1:
        raise UserError(f"{path}: has a header but no rows")
    names = [name if has_header and name else f"x{d}" for d, name in enumerate(first)]
    return frame.iloc[int(has_header) :].set_axis(names, axis=1)


def _kept(path: Path, columns: Sequence[str], drop: Sequence[str]) -> list[int]:
    """Return the indices of the columns to keep."""
    dropped = set()
    for name in drop:
        if name in columns:
            dropped.add(columns.index(name))
        elif name.isdecimal() and int(name) < len(columns):
            dropped.add(int(name))
        else:
            raise UserError(f"data.drop: {path.name} has no column '{name}'{did_you_mean(name, columns)}")
    if len(dropped) == len(columns):
        raise UserError(f"data.drop: no column of {path.name} is left")
    return [d for d in range(len(columns)) if d not in dropped]


def _what_is_no_number(frame: "pd.DataFrame", place: str) -> str:
    """Describe the first field that is not a number, and how to mend it: leave the column out, or edit the row."""
    rows = zip(frame.index, frame.astype(object).to_numpy(), strict=True)
    i, d, value = next((i, d, v) for i, row in rows for d, v in enumerate(row) if not _is_number(v))
    column = frame.columns[d]
    text = "" if value is None or value != value else str(value).strip()
    if _is_number(text.replace(",", ".")):
        return f"{place} {i}, column {column}: '{text}' is no number; write decimals with a point"
    if not any(map(_is_number, frame.iloc[:, d].astype(object))):
        return f"column {column} is text, not numbers; leave it out: data.drop=[{column}]"
    what = f"'{text}' is no number" if text else "a value is missing"
    return f"{place} {i}, column {column}: {what}; {_fix(column)}"


def _fix(column: str) -> str:
    return f"mend or remove that row, or leave the column out: data.drop=[{column}]"


def _is_number(field: Any) -> bool:
    try:
        return math.isfinite(float(field))
    except (TypeError, ValueError):
        return False
