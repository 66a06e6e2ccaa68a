"""Any user's table (`data.name=table data.path=my.csv`)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import MixedTable, Table
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Delegated, hold_out, shuffled, users_file
from ar_lightning.data.columns import Wanted, numbers_in, read_columns, read_table
from ar_lightning.data.datasets.survey import Survey
from ar_lightning.data.missing import blanked
from ar_lightning.data.mixed import MixedRows, Roles
from ar_lightning.data.standardised import Rows, StandardisedTable, fold_of
from ar_lightning.data.types import Wishes

__all__ = ["TableFile"]

KINDS = (
    ".csv", ".tsv", ".txt", ".data", ".gz", ".parquet", ".pq", ".xlsx", ".xlsm", ".npz", ".hdf5", ".h5",
)  # fmt: skip

T = TypeVar("T")


class TableFile(Delegated):
    """Your own table: CSV of any dialect, Parquet, Excel, .npz or .hdf5; text, numbers, dates, cells may be missing.

    A CSV is separated by commas, semicolons, tabs or white space, with a header or without, and may be in gzip; of an
    Excel file the first sheet is read. An .npz file holds `train`, and optionally `valid` and `test`, or one array
    `data`, rows `(N, D)` each. Splits that the file does not have are held out with a fixed seed. What the columns are
    is told from their cells and shown before training: real numbers, whole numbers, categories (text, booleans, numbers
    of few distinct values), dates. Values that many rows have exactly become point masses. Columns that are
    constant, or text of its own in most rows, are left out. Kinds and levels are those of all rows; offsets, scales and
    point masses are of the training rows. A table of real values alone is standardised by these.

    Args:
        path: the file; null for the generated survey of households, a tenth of whose cells are missing.
        test_path: a file of the test rows, with the same columns; null to take them from `path`.
        key: the dataset in an .hdf5 file; null for the only one.
        drop: columns to leave out, by name or number from 0, such as [quality].
        header: whether the first row of a CSV or Excel file names the columns; null to tell from what it holds.
        types: what columns are, such as {zip: category, age: real}, or one type for all; null to tell it. real takes
            numbers alone, without point masses.
        missing: texts or numbers that stand for a missing value, such as [-999], besides an empty cell, NA, n/a, NaN,
            null, None, ?, #N/A, <NA> and NaT.
        max_levels: of a category; the rarer ones become one, which is called (other).
        missing_level: a missing value is a level of a category and a point mass of a number, so that ordered models can
            read it; else it is neither read nor scored, which orderless models alone can do.
        given: columns that are given: read first, neither scored nor drawn, for p(the rest | these).
        label: a column that is the class y, for p(x | y).
        units: of a table of real values, what densities are reported in: those of the columns, or of the standardised
            columns. Others are reported in the units of their columns.
        folds: cross-validate: test on one of so many parts, hold a tenth of the others out as valid; null for none.
        fold: which of them is the test split, from 0.
        split_seed: seed of the folds and of the held-out splits.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        test_path: str | None = None,
        key: str | None = None,
        drop: list[str] | None = None,
        header: bool | None = None,
        types: dict[str, Literal["real", "integer", "category", "date"]]
        | Literal["real", "integer", "category", "date"]
        | None = None,
        missing: list[str] | None = None,
        max_levels: PositiveInt = 1000,
        missing_level: bool = False,
        given: list[str] | None = None,
        label: str | None = None,
        units: Literal["standardised", "original"] = "standardised",
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        self.survey: Survey | None = None
        if path is None:
            for key, value in {"drop": drop, "types": types, "missing": missing, "test_path": test_path}.items():
                if value is not None:
                    raise UserError(f"data.{key}: there is no file that it is of; give data.path=my.csv")
            self.survey = Survey(missing=0.1, missing_level=missing_level, given=given, label=label)  # type: ignore[arg-type]
            return
        self.path = users_file(path, "table", "my.csv", KINDS, "table")
        self.test_path: Path | None = None
        if test_path is not None:
            self.test_path = users_file(test_path, "table", "test.csv", KINDS, "table", "test_path")
        if folds == 1 or (fold and folds is None):
            raise UserError(f"data.fold={fold} needs 2 data.folds or more, such as data.folds=10")
        if folds and fold >= folds:
            raise UserError(f"data.fold={fold}: there are data.folds={folds}, numbered 0..{folds - 1}")
        if max_levels < 2:
            raise UserError(f"data.max_levels={max_levels}: one level says nothing; give 2 or more")
        for name, listed in (("given", given), ("drop", drop)):
            if listed and len(set(listed)) < len(listed):
                raise UserError(f"data.{name}: names a column twice; name it once")
        self.wishes = Wishes(types, max_levels, "level" if missing_level else "unread")
        self.roles = Roles(tuple(given or ()), label)
        self.missing = tuple(missing or ())
        self.wanted = Wanted(drop or (), header, key=key, texts=self._is_text)
        self.units = units
        self.folds, self.fold, self.split_seed = folds, fold, split_seed
        self.known: DataSpec | None = None  # of a density in whose terms the rows are read

    def _is_text(self, name: str) -> bool:
        known = self.known.medium.columns if self.known and isinstance(self.known.medium, MixedTable) else ()
        is_category = any(column.name == name and column.kind == "category" for column in known)
        return is_category or self.wishes.kind_of(name) in ("category", "date") or name == self.roles.label

    def in_terms_of(self, spec: DataSpec) -> Dataset:
        if self.survey:
            return self
        if isinstance(spec.medium, (MixedTable, Table)) and not self._is_known(spec):
            self.known = spec
            self.__dict__.pop("_rows", None)
        return self

    def _is_known(self, spec: DataSpec) -> bool:
        """Return whether the rows are in the terms of a spec already."""
        try:
            own = self.spec
            return (own.medium, own.labels) == (spec.medium, spec.labels) or isinstance(self._rows, _RealRows)
        except UserError:  # what a density knows need not be told of a few rows
            return False

    @cached_property
    def _rows(self) -> Dataset:
        """The rows, as a table of real values or a mixed one."""
        if self.survey:
            return self.survey
        as_ever = self.known is not None and isinstance(self.known.medium, Table)
        if as_ever or (self.wishes.types == "real" and self.roles == Roles() and self.wishes.gaps == "unread"):
            names, x, notes = read_columns(self.path, self.wanted)
            if self.test_path:
                x = self._joined(x, read_columns(self.test_path, replace(self.wanted, only=names, drop=())).x)
            index, how = self._split({name: len(rows) for name, rows in x.items()})
            self._say(notes)
            return _real(names, np.concatenate([*x.values()]), index, self._source(notes, how), self.units)
        import pandas as pd

        file, own = read_table(self.path, self.wanted)
        if self.test_path:
            test, of_test = read_table(self.test_path, replace(self.wanted, only=tuple(file.frame.columns), drop=()))
            own = self._joined(own, of_test)
            file = file._replace(frame=pd.concat([file.frame, test.frame[file.frame.columns]]))
        file = file._replace(frame=blanked(file.frame, self.missing))
        index, how = self._split(own)
        source = self._source(file.notes, how)
        where = f"{self.path} and {self.test_path}" if self.test_path else str(self.path)
        mixed = MixedRows(file, index, source, where, self.wishes, self.roles, self.known)
        self._say(file.notes)
        if not mixed.is_real or self.known:
            return mixed
        left_out = [f"{one.name} ({one.why})" for one in mixed.found if not one.is_number]
        source = f"{source}, without {', '.join(left_out)}" if left_out else source
        frame = file.frame[[one.name for one in mixed.found if one.is_number]]
        return _real(tuple(frame.columns), numbers_in(frame), index, source, self.units, mixed.describe())

    def _joined(self, own: dict[str, T], of_test: dict[str, T]) -> dict[str, T]:
        """Return what there is of the rows of two files, of which neither may have splits of its own."""
        for path, has in ((self.path, own), (self.test_path, of_test)):
            if "data" not in has:
                raise UserError(f"{path}: has splits of its own; leave data.test_path out")
        return {"data": own["data"], "test": of_test["data"]}

    def _split(self, own: dict[str, int]) -> tuple[dict[str, np.ndarray], str]:
        """Return the rows of each split, and how they came to be: the file's own splits, held-out ones or a fold.

        The file has so many rows of each split that it has, or of `data`, one after the other.
        """
        ends = np.cumsum([*own.values()])
        index = {name: np.arange(end - n, end) for (name, n), end in zip(own.items(), ends.tolist(), strict=True)}
        held = [name for name in SPLITS[1:] if name not in index]
        rows = index.pop("data") if "data" in index else index["train"]
        if self.folds is None:
            parts = hold_out(len(rows), held, self.split_seed, self.path)
            how = f"{' and '.join(held)} held out with seed {self.split_seed}" if held else "splits of the file"
        elif index:
            raise UserError(f"data.folds={self.folds}: {self.path.name} has splits of its own; leave data.folds out")
        elif len(rows) < self.folds:
            raise UserError(f"{self.path}: {len(rows)} rows are too few for data.folds={self.folds}")
        else:
            folds = np.array_split(shuffled(len(rows), self.split_seed), self.folds)
            parts = fold_of(folds, self.fold, self.split_seed, self.path)
            how = f"fold {self.fold} of {self.folds} with seed {self.split_seed}"
        return index | {name: rows[i] for name, i in parts.items()}, how

    def _say(self, notes: Sequence[str]) -> None:
        """Say what was taken for what, of a file that could be read."""
        if notes:
            notice(f"{self.path}: {', '.join(notes)}")

    def _source(self, notes: Sequence[str], how: str) -> str:
        """Return where rows are from, what was taken for what in them, and how they were split."""
        without = f" without {', '.join(self.wanted.drop)}" if self.wanted.drop else ""
        test = f" and {self.test_path.name} for test" if self.test_path else ""
        return ", ".join((f"{self.path.name}{test}{without}", *notes, how))


class _RealRows(StandardisedTable):
    """Rows of real values."""

    def __init__(self, rows: Rows, units: Literal["standardised", "original"], told: list[list[str]]) -> None:
        self._rows, self.units, self.told = rows, units, told

    def describe(self) -> list[list[str]]:
        return self.told

    def rows(self) -> Rows:
        return self._rows


def _real(
    names: tuple[str, ...], x: np.ndarray, index: dict[str, np.ndarray], source: str,
    units: Literal["standardised", "original"], told: Sequence[list[str]] = (),
) -> _RealRows:  # fmt: skip
    return _RealRows(Rows(source, names, {name: x[rows] for name, rows in index.items()}), units, [*told])
