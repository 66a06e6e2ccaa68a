"""Any user's table of real values (`data.name=table data.path=my.csv`)."""

from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.notice import notice
from ar_lightning.data.base import SPLITS, hold_out, shuffled, users_file
from ar_lightning.data.columns import Wanted, read_columns
from ar_lightning.data.standardised import Rows, StandardisedTable, fold_of

__all__ = ["TableFile"]

KINDS = (".csv", ".tsv", ".txt", ".data", ".parquet", ".pq", ".xlsx", ".xlsm", ".npz", ".hdf5", ".h5")


class TableFile(StandardisedTable):
    """Your own table of real values: CSV of any dialect, Parquet, Excel, .npz or .hdf5; columns are standardised.

    A CSV is separated by commas, semicolons, tabs or white space, with a header or without; of an Excel file the first
    sheet is read. What is taken for what is said: a header of numbers, comments, an index, the encoding. An .npz file
    holds `train`, and optionally `valid` and `test`, or one array `data`, rows `(N, D)` each. Splits that the file does
    not have are held out with a fixed seed. Columns are standardised by the training rows; one that is constant there
    is left out. A column of few distinct values has no density: leave it out, or the likelihood grows without bound.

    Args:
        path: the file.
        key: the dataset in an .hdf5 file; null for the only one.
        drop: columns to leave out, by name or number from 0, such as [quality].
        header: whether the first row of a CSV or Excel file names the columns; null to tell from what it holds.
        units: what densities are reported in: those of the columns, or of the standardised columns.
        folds: cross-validate: test on one of so many parts, hold a tenth of the others out as valid; null for none.
        fold: which of them is the test split, from 0.
        split_seed: seed of the folds and of the held-out splits.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        key: str | None = None,
        drop: list[str] | None = None,
        header: bool | None = None,
        units: Literal["standardised", "original"] = "standardised",
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        self.path = users_file(path, "table", "my.csv", KINDS, "table")
        if folds == 1 or (fold and folds is None):
            raise UserError(f"data.fold={fold} needs 2 data.folds or more, such as data.folds=10")
        if folds and fold >= folds:
            raise UserError(f"data.fold={fold}: there are data.folds={folds}, numbered 0..{folds - 1}")
        self.wanted = Wanted(drop or (), header, key=key)
        self.units = units
        self.folds, self.fold, self.split_seed = folds, fold, split_seed

    def rows(self) -> Rows:
        columns, x, notes = read_columns(self.path, self.wanted)
        if notes:
            notice(f"{self.path}: {', '.join(notes)}")
        held = [name for name in SPLITS[1:] if name not in x]
        rows = x.pop("data") if "data" in x else x["train"]
        if self.folds is None:
            index = hold_out(len(rows), held, self.split_seed, self.path)
            how = f"{' and '.join(held)} held out with seed {self.split_seed}" if held else "splits of the file"
        elif x:
            raise UserError(f"data.folds={self.folds}: {self.path.name} has splits of its own; leave data.folds out")
        elif len(rows) < self.folds:
            raise UserError(f"{self.path}: {len(rows)} rows are too few for data.folds={self.folds}")
        else:
            parts = np.array_split(shuffled(len(rows), self.split_seed), self.folds)
            index = fold_of(parts, self.fold, self.split_seed, self.path)
            how = f"fold {self.fold} of {self.folds} with seed {self.split_seed}"
        without = f" without {', '.join(self.wanted.drop)}" if self.wanted.drop else ""
        source = ", ".join((f"{self.path.name}{without}", *notes, how))
        return Rows(source, columns, x | {name: rows[i] for name, i in index.items()})
