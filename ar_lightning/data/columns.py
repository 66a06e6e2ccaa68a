"""Numeric columns from files: .csv of any dialect, .npz and .hdf5."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.data.base import SPLITS, read_npz

__all__ = ["Columns", "read_columns", "read_hdf5"]

Columns = tuple[tuple[str, ...], dict[str, np.ndarray]]  # names, and rows `(N, D)` float64 by split, or as `data`
DELIMITERS = (",", ";", "\t")


def read_columns(path: Path, drop: Sequence[str] = (), key: str | None = None) -> Columns:
    """Read a table: names of its columns, and its rows by split, all of them as `data` where the file has no splits.

    Args:
        path: a .npz or .hdf5 file; any other is read as CSV.
        drop: columns to leave out, by name or number from 0.
        key: the dataset in an .hdf5 file.

    Raises:
        UserError: it is no table of numbers; the message names the row and the column.
    """
    if path.suffix in (".hdf5", ".h5"):
        return _of_arrays(path, {"data": read_hdf5(path, key)}, drop)
    if key is not None:
        raise UserError(f"data.key={key}: only .hdf5 files have keys, and {path.name} is none; leave it out")
    return _of_arrays(path, _npz_arrays(path), drop) if path.suffix == ".npz" else _of_csv(path, drop)


def read_hdf5(path: Path, key: str | None = None) -> np.ndarray:
    """Read one dataset of an .hdf5 file; the only one in it where no key is given.

    Raises:
        UserError: h5py is not installed, the file is none, or has no such dataset.
    """
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


def _of_csv(path: Path, drop: Sequence[str]) -> Columns:
    rows = _csv_rows(path)
    first = rows[0][1]
    has_header = not any(map(_is_number, first))
    columns = tuple(name if has_header and name else f"x{d}" for d, name in enumerate(first))
    rows = rows[has_header:]
    if not rows:
        raise UserError(f"{path}: has a header but no rows")
    if twice := next((name for i, name in enumerate(columns) if name in columns[:i]), None):
        raise UserError(f"{path}: two columns are named '{twice}'; rename one")
    keep = _kept(path, columns, drop)
    try:
        x = np.array([[float(row[d]) for d in keep] for _, row in rows])
    except ValueError:
        raise UserError(_what_is_no_number(path, columns, keep, rows)) from None
    if not np.isfinite(x).all():
        raise UserError(_what_is_no_number(path, columns, keep, rows))
    return tuple(columns[d] for d in keep), {"data": x}


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the fields of each row and the line it ends on; all rows have as many."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8; give a CSV, .npz or .hdf5 file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    delimiter = _delimiter(text)
    # Runs of spaces and tabs separate as one does; csv.reader then takes care of quotes.
    lines = text.splitlines() if delimiter != " " else [re.sub(r"\s+", " ", s.strip()) for s in text.splitlines()]
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if any(row)]
    if not rows:
        raise UserError(f"{path}: is empty")
    width = len(rows[0][1])
    if wrong := next(((line, len(row)) for line, row in rows if len(row) != width), None):
        raise UserError(f"{path}: line {wrong[0]} has {wrong[1]} values where line {rows[0][0]} has {width}; mend it")
    return rows


def _delimiter(text: str) -> str:
    """Return what separates the fields of the first line, quoted texts aside; a space where it is white space."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", first).strip()
    counts = {delimiter: bare.count(delimiter) for delimiter in DELIMITERS}
    # Semicolons separate where there are any: the commas beside them are decimal points.
    best = ";" if counts[";"] else max(counts, key=lambda delimiter: counts[delimiter])
    return best if counts[best] else " "


def _kept(path: Path, columns: Sequence[str], drop: Sequence[str]) -> list[int]:
    """Return the indices of the columns that are not to be left out."""
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


def _what_is_no_number(
    path: Path, columns: Sequence[str], keep: Sequence[int], rows: Sequence[tuple[int, list[str]]]
) -> str:
    """Say which field is no number, and what to do: a column of text can be left out, a value has to be mended."""
    line, d, value = next((line, d, row[d]) for line, row in rows for d in keep if not _is_number(row[d]))
    if _is_number(value.replace(",", ".")):
        return f"{path}: line {line}, column {columns[d]}: '{value}' is no number; write decimals with a point"
    if not any(_is_number(row[d]) for _, row in rows):
        return f"{path}: column {columns[d]} is text, not numbers; leave it out: data.drop=[{columns[d]}]"
    what = f"'{value}' is no number" if value else "a value is missing"
    return f"{path}: line {line}, column {columns[d]}: {what}; {_fix(columns[d])}"


def _fix(column: str) -> str:
    return f"mend or remove that row, or leave the column out: data.drop=[{column}]"


def _is_number(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False
