"""Numeric columns from files: CSV of any dialect, Parquet, Excel, .npz and .hdf5."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.data.base import SPLITS
from ar_lightning.data.frame_file import ALL, Frame, Wanted, check_size, kept, read_cells
from ar_lightning.data.header import is_number
from ar_lightning.data.npz_file import npz_names, read_npz
from ar_lightning.data.user.keys import keys_of
from ar_lightning.data.user.reals import LIMITS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Wanted", "numbers_in", "read_columns", "read_frame", "read_hdf5", "read_table"]

LARGEST = float(LIMITS.max)


class Columns(NamedTuple):
    """Columns of a file."""

    names: tuple[str, ...]
    x: dict[str, np.ndarray]  # rows `(N, D)` float64 by split, or all as `data`
    notes: tuple[str, ...] = ()  # what was left out, and what was taken for what


def read_columns(path: Path, wanted: Wanted = ALL) -> Columns:
    """Read the names of the columns and the rows by split; all rows are `data` if the file has no splits.

    What is no Parquet, Excel, .npz or .hdf5 file is read as CSV. A first column without a name that counts or names the
    rows is left out. Columns that are not wanted may hold anything.

    Raises:
        UserError: the file is not of its kind, or a wanted column is not there or holds what is no number.
    """
    if path.suffix.lower() in (".npz", ".hdf5", ".h5"):
        arrays, left_out = _arrays(path, wanted)
        return _of_arrays(path, arrays, wanted)._replace(notes=left_out)
    _refuse_key(path, wanted)
    return _of_frame(path, read_cells(path, wanted, holes=False), wanted)


def read_table(path: Path, wanted: Wanted = ALL) -> tuple[Frame, dict[str, int]]:
    """Read all rows of a file of any kind, and how many of them are of each split, or of `data`.

    Raises:
        UserError: the file is not of its kind, or a wanted column is not there.
    """
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix not in (".npz", ".hdf5", ".h5"):
        _refuse_key(path, wanted)
        file = read_cells(path, wanted)
        return file, {"data": len(file.frame)}
    arrays, left_out = _arrays(path, wanted)
    names = _names(path, arrays)
    keep, _ = kept(path, names, wanted)
    index = np.concatenate([np.arange(len(array)) for array in arrays.values()])
    frame = pd.DataFrame(np.concatenate([array[:, keep] for array in arrays.values()]), index=index)
    file = Frame(frame.set_axis([names[d] for d in keep], axis=1), "row", None, left_out)
    return file, {name: len(array) for name, array in arrays.items()}


def read_frame(
    path: Path, header: bool | None = None, known: Sequence[str] = (), texts: Callable[[str], bool] = ALL.texts
) -> Frame:
    """Read all columns of a Parquet or Excel file, or else of a CSV, whatever they hold; all have names.

    Args:
        path: the file.
        header: of CSV and Excel: whether the first row names the columns; None to tell from it.
        known: names that some of the columns have if they have names.
        texts: which columns of CSV are texts, whatever they look like.

    Raises:
        UserError: the file is not of its kind, or has no rows.
    """
    if path.suffix.lower() in (".npz", ".hdf5", ".h5"):
        raise UserError("holds arrays, whose columns have no names", path, "give a CSV, Parquet or Excel file")
    return read_cells(path, Wanted(header=header, texts=texts, perhaps=known, row_names=True))


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
            check_size(path, found.nbytes)
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


def _arrays(path: Path, wanted: Wanted) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the rows of an .npz or .hdf5 file by split, or all as `data`, and what was left out."""
    if path.suffix.lower() != ".npz":
        return {"data": read_hdf5(path, wanted.key)}, ()
    _refuse_key(path, wanted)
    return _npz_arrays(path)


def _refuse_key(path: Path, wanted: Wanted) -> None:
    if wanted.key is not None:
        raise UserError(f"data.key={wanted.key}: only .hdf5 files have keys, and {path.name} is none; leave it out")


def _names(path: Path, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """Return the names x0, x1, ... of the columns of arrays, which have as many."""
    columns: tuple[str, ...] = ()
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
            raise UserError(f"{path}: '{name}' is {array.dtype} of shape {array.shape}; save numbers (N, D)")
        columns = columns or tuple(f"x{d}" for d in range(array.shape[1]))
        if array.shape[1] != len(columns):
            raise UserError(f"{path}: '{name}' has {array.shape[1]} columns where others have {len(columns)}")
    return columns


def _of_arrays(path: Path, arrays: dict[str, np.ndarray], wanted: Wanted) -> Columns:
    """Check arrays, and name their columns x0, x1, ..."""
    columns = _names(path, arrays)
    keep, _ = kept(path, columns, wanted)
    x = {name: array[:, keep].astype(np.float64) for name, array in arrays.items()}
    for name, array in x.items():
        for row, d in np.argwhere(~(np.abs(array) <= LARGEST))[:1]:  # NaN compares to nothing
            column = columns[keep[d]]
            what = f"row {row}, column {column}: {_no_number(str(array[row, d]))}; {_fix(column, wanted)}"
            raise UserError(f"{path}: '{name}', {what}")
    return Columns(tuple(columns[d] for d in keep), x)


def _of_frame(path: Path, file: Frame, wanted: Wanted) -> Columns:
    """Check that the columns of a file hold numbers."""
    frame = file.frame
    x = numbers_in(frame)
    for i, d in np.argwhere(~(np.abs(x) <= LARGEST))[:1]:  # NaN compares to nothing
        raise UserError(f"{path}: {_what_is_no_number(frame, x, i, d, file.place, wanted)}")
    return Columns(tuple(frame.columns), {"data": x}, file.notes)


def numbers_in(frame: "pd.DataFrame") -> np.ndarray:
    """Return the cells of a frame as float64 `(N, D)`, NaN where one is no number."""
    return np.stack([_numbers(frame.iloc[:, d]) for d in range(frame.shape[1])], 1)


def _numbers(column: "pd.Series") -> np.ndarray:
    """Return a column as float64, NaN where a cell is no number."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        values = [float(text) if is_number(text) else np.nan for text in column.cat.categories]
        return np.array([*values, np.nan])[column.cat.codes]
    if column.dtype.kind in "mM":  # dates would pass as numbers
        return np.full(len(column), np.nan)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    return np.array([float(cell) if is_number(cell) else np.nan for cell in column])


def _what_is_no_number(frame: "pd.DataFrame", x: np.ndarray, row: int, d: int, place: str, wanted: Wanted) -> str:
    """Describe a cell that is not a number, and how to mend it: leave the column out, or edit the row."""
    value, i, column = frame.iat[row, d], frame.index[row], frame.columns[d]
    text = "" if value is None or value != value else str(value).strip()
    if is_number(text.replace(",", ".")) and "," in text:
        return f"{place} {i}, column {column}: '{text}' is no number; write decimals with a point"
    if not wanted.only and np.isnan(x[:, d]).all():
        return f"column {column} is text, not numbers; leave it out: data.drop=[{column}]"
    return f"{place} {i}, column {column}: {_no_number(text)}; {_fix(column, wanted)}"


def _no_number(text: str) -> str:
    if is_number(text):
        return f"{text} is beyond the numbers of single precision, {LARGEST:.1e}"
    return f"'{text}' is no number" if text else "a value is missing"


def _fix(column: str, wanted: Wanted) -> str:
    return "mend or remove that row" + ("" if wanted.only else f", or leave the column out: data.drop=[{column}]")
