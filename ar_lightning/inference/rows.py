"""Rows of a table as a user has them, in a file or a pandas frame, whose columns are found by their names."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, nearby, refuse_pipe
from ar_lightning.core.medium import Column, MixedTable, Table
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.frame_file import Frame, Wanted, read_cells
from ar_lightning.data.missing import blanked
from ar_lightning.data.mixed import labels_of
from ar_lightning.media.frames import from_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableRows", "label_column", "read_as_text", "read_table_rows", "rows_of_frame", "table_of"]


class TableRows(NamedTuple):
    """The rows of a file or a frame."""

    x: np.ndarray  # as they are stored, `(N, 1, D)` float32; NaN where a cell is missing
    frame: "pd.DataFrame"  # as the user has them; its index is the number of each row or line
    place: str  # what that number is of: `row` or `line`
    labels: np.ndarray | None = None  # `(N,)` int64, of a conditional density whose labels are among the columns


def table_of(spec: DataSpec) -> MixedTable | None:
    """Return the columns of rows, also where all are of real values and standardised; None of what is no table."""
    if isinstance(medium := spec.medium, Table):
        cells = zip(medium.columns, medium.offset, medium.scale, strict=True)
        return MixedTable(tuple(Column(name, "real", offset=offset, scale=scale) for name, offset, scale in cells))
    return medium if isinstance(medium, MixedTable) else None


def label_column(config: dict[str, Any] | None) -> str | None:
    """Return the column that the config of a run takes for the label; None where it takes none."""
    label: str | None = config["data"].get("label") if config else None
    return label


def read_as_text(table: MixedTable) -> Callable[[str], bool]:
    """Return which columns of a file are read as texts for a density: all but its numbers, which take less memory."""
    numbers = {column.name for column in table.columns if column.kind in ("real", "integer")}
    return lambda name: name not in numbers


def read_table_rows(
    path: Path, spec: DataSpec, config: dict[str, Any] | None = None, holes: bool = False, given: bool = False,
    as_written: bool = False,
) -> TableRows:  # fmt: skip
    """Read the rows of a file for a density of mixed columns.

    Args:
        path: the file.
        spec: of the density.
        config: of its run, which says what stands for a missing cell, and which column is the label; None for no
            such.
        holes: cells may be missing where the training data had none.
        given: only the columns that are given have to be there.
        as_written: cells of the frame are the texts of the file, also numbers, so that it can be written again.

    Raises:
        UserError: a column is not there, or a cell is not what its column holds.
    """
    table = spec.medium
    assert isinstance(table, MixedTable)
    if not path.is_file():
        refuse_pipe(path)
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}{nearby(path)}")
    if path.suffix in (".npz", ".hdf5", ".h5"):
        raise UserError(f"{path}: this density takes columns of several kinds: give a CSV, Parquet or Excel file")
    texts = (lambda name: True) if as_written else read_as_text(table)
    frame, place, row_names, notes = read_cells(path, Wanted(texts=texts, perhaps=table.names, row_names=True))
    if notes:
        notice(f"{path}: {', '.join(notes)}")
    by_place = [f"x{d}" for d in range(len(table.names))]  # what columns of a file without a header are called
    if not table.given and [*frame.columns] == by_place and not {*table.names} & {*by_place}:
        notice(f"{path}: its columns are taken for {', '.join(table.names)}, in this order")
        frame = frame.set_axis([*table.names], axis=1)
    return rows_of_frame(Frame(frame, place, row_names, ()), spec, str(path), config, holes, given)


def rows_of_frame(
    file: Frame, spec: DataSpec, where: str, config: dict[str, Any] | None = None, holes: bool = False,
    given: bool = False,
) -> TableRows:  # fmt: skip
    """Return the rows of a frame in the terms of a density.

    Args:
        file: the frame, what its rows are called, and the column that names them.
        spec: of the density, which is of a table.
        where: what the frame is, for messages.
        config, holes, given: as of `read_table_rows`.

    Raises:
        UserError: as `read_table_rows`.
    """
    table = table_of(spec)
    assert table is not None
    markers = (config["data"].get("missing") if config else None) or ()
    frame = blanked(file.frame, markers) if isinstance(markers, (list, tuple)) else file.frame
    label = label_column(config)
    left = [name for name in (label, file.row_names) if name in frame and name not in table.names]
    x = from_frame(frame.drop(columns=left), table, where, file.place, holes, given)
    labels = None
    if spec.classes and label is not None and label in frame.columns:
        labels = labels_of(file._replace(frame=frame), label, spec, where)
    return TableRows(x, frame, file.place, labels)
