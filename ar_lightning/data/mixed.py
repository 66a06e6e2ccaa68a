"""Tables whose columns are of several kinds, as a dataset: what each is, and its cells as they are stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean, nearest
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.frame_file import Frame
from ar_lightning.data.labels import numbered
from ar_lightning.data.types import Found, Wishes, infer_types
from ar_lightning.media.cells import MISSING, texts_of
from ar_lightning.media.frames import from_frame, stored

__all__ = ["MixedRows", "Roles", "labels_of"]

KINDS = {"real": "real numbers", "integer": "whole numbers", "category": "categories", "date": "dates"}
LISTED = 8  # columns, at most, in a message
MOST_SHOWN, LONGEST = 4, 48  # levels of a category that are shown, and characters of them


@dataclass(frozen=True)
class Roles:
    """Columns that are not modelled as the others are."""

    given: Sequence[str] = ()
    label: str | None = None


class MixedRows(Dataset):
    """Rows of a frame, split.

    Args:
        file: the rows, whose markers of missing values are blanked.
        index: the rows of each split.
        source: where they are from and how they were split, for the regime.
        where: the file, for messages.
        wishes: what the user says of the columns.
        roles: which are given, and which is the class.
        known: of a density that has its own columns, in whose terms the rows are read.
    """

    def __init__(
        self, file: Frame, index: Mapping[str, np.ndarray], source: str, where: str, wishes: Wishes, roles: Roles,
        known: DataSpec | None = None,
    ) -> None:  # fmt: skip
        self.index, self.source, self.wishes, self.roles = index, source, wishes, roles
        names = [*map(str, file.frame.columns)]
        for key, name in [
            *(("given", name) for name in roles.given),
            *((("label", roles.label),) if roles.label else ()),
        ]:
            if name not in names:
                raise UserError(f"data.{key}: no column '{name}'{did_you_mean(name, names)}", where)
        self.label_spec, self.y = self._labels(file, where, known)
        frame = file.frame.drop(columns=[roles.label] if roles.label else [])
        if known is not None and isinstance(known.medium, MixedTable):
            self.found: list[Found] = []
            self.table = known.medium
            self.x = from_frame(frame, self.table, where, file.place)
            return
        if roles.label in roles.given:
            raise UserError(f"data.given: {roles.label} is data.label, which is given as the class; leave it out here")
        self.found = infer_types(frame, index["train"], wishes, where, file.place)
        columns = tuple(self._columns(where))
        written = {roles.label, *(column.name for column in columns)}
        self.table = MixedTable(columns, len(roles.given), tuple(name for name in names if name in written))
        self.x = np.empty((len(frame), 1, len(self.table.columns)), np.float32)
        for d, column in enumerate(self.table.columns):
            self.x[:, 0, d] = stored(frame[column.name], column, where, file.place)
            self._check_resolved(d, frame[column.name], where)

    @property
    def is_real(self) -> bool:
        """True where nothing needs more than a table of real values."""
        plain = not self.roles.given and not self.roles.label
        return plain and all(c.kind == "real" and not c.spikes and c.gaps == "none" for c in self.table.columns)

    @property
    def spec(self) -> DataSpec:
        values, classes = self.label_spec
        return DataSpec((1, len(self.table.columns)), None, classes, medium=self.table, labels=values)

    @property
    def regime(self) -> str:
        kinds = Counter(column.kind for column in self.table.columns)
        parts = [self.source, " and ".join(f"{n} of {KINDS[kind]}" for kind, n in kinds.items())]
        if left_out := [f"{found.name} ({found.why})" for found in self.found if found.column is None]:
            parts.append(f"without {', '.join(left_out)}")
        if rare := [f"{found.rare} of {found.name}" for found in self.found if found.rare]:
            parts.append(f"rare levels as one: {', '.join(rare)}")
        if self.roles.given:
            parts.append(f"given {', '.join(self.roles.given)}")
        if self.roles.label:
            parts.append(f"classes of {self.roles.label}")
        if holes := [column for column in self.table.columns if column.gaps != "none"]:
            parts.append(f"missing cells {'a value' if holes[0].gaps == 'level' else 'unread'} in {len(holes)} columns")
        sizes = "/".join(str(len(self.index[name])) for name in SPLITS)
        return f"{', '.join(parts)}, levels of all rows, {sizes}"

    def load(self) -> Splits:
        """Return the three splits, `(N, 1, D)` float32 as the columns say they are stored."""
        return {
            name: Split(self.x[rows], None if self.y is None else self.y[rows]) for name, rows in self.index.items()
        }

    def describe(self) -> list[list[str]]:
        rows = [["column", "type", "values", "missing", "because of"]]
        if self.roles.label:
            values, classes = self.label_spec
            rows.append([self.roles.label, "class", f"{classes}: {_some(values or range(classes))}", "", "data.label"])
        by_name = {column.name: column for column in self.table.columns}
        order = {name: place for place, name in enumerate(self.roles.given)}
        for found in sorted(self.found, key=lambda found: order.get(found.name, len(order))):
            given = ", given" if found.name in self.roles.given else ""
            kind = f"{by_name[found.name].kind}{given}" if found.column else "left out"
            share = found.missing / max(1, len(self.x))
            gap = f"{share:.1%}" if share >= 0.001 or not share else "< 0.1%"
            rows.append([found.name, kind, _values(found), gap if share else "", found.why])
        return rows

    def _columns(self, where: str) -> list[Column]:
        """Return the columns that are modelled, those that are given first."""
        columns = {found.name: found.column for found in self.found if found.column}
        for found in self.found:
            if found.name in self.roles.given and found.column is None:
                raise UserError(f"data.given: column {found.name} tells nothing: {found.why}", where, "leave it out")
        rest = [column for name, column in columns.items() if name not in self.roles.given]
        if not rest:
            why = ", ".join(f"{found.name} ({found.why})" for found in self.found[:LISTED] if not found.column)
            if all(found.why.startswith("constant") for found in self.found):
                why = "every column is constant"
            raise UserError(f"{where}: {why or 'every column is given'}, so there is nothing to model")
        return [*(columns[name] for name in self.roles.given if columns[name]), *rest]  # type: ignore[list-item]

    def _labels(
        self, file: Frame, where: str, known: DataSpec | None
    ) -> tuple[tuple[tuple[int | str, ...], int], np.ndarray | None]:
        if self.roles.label is None:
            return ((), 0), None
        if known is not None and known.classes:
            return (known.labels, known.classes), labels_of(file, self.roles.label, known, where)
        values = labels_of(file, self.roles.label, None, where)
        places = {name: f"{where}: column {self.roles.label}, {name}" for name in SPLITS}
        found = numbered({name: values[rows] for name, rows in self.index.items()}, places)
        y = np.empty(len(values), np.int64)
        for name, rows in self.index.items():
            y[rows] = found.numbers[name]
        return (found.values, found.classes), y

    def _check_resolved(self, d: int, cells: object, where: str) -> None:
        """Refuse a column whose values are so far from another that they become equal."""
        column, z = self.table.columns[d], self.x[:, 0, d]
        if column.kind != "real":
            return
        found = next(found for found in self.found if found.name == column.name)
        if found.distinct > 2 * len(np.unique(z[~np.isnan(z)])):
            low, high = found.range or (0.0, 0.0)
            far = low if abs(low - column.offset) > abs(high - column.offset) else high
            what = f"column {column.name}: {far:g} is so far from its other values that these become equal"
            raise UserError(f"{what} in single precision", where, "mend or remove that row, or leave the column out")


def labels_of(file: Frame, name: str, spec: DataSpec | None, where: str) -> np.ndarray:
    """Return the class of each row that a column names, `(N,)`: its number in a spec, else its value, int64 or text.

    Raises:
        UserError: a label is missing, or none of the spec's.
    """
    column = file.frame[name]
    texts = texts_of(column, MISSING)
    for i in np.flatnonzero(texts.codes < 0)[:1]:
        what = f"{file.place} {column.index[i]}, column {name}: a label is missing"
        raise UserError(what, where, "mend or remove that row")
    if spec is None:
        whole = all(text.lstrip("-").isdecimal() and str(int(text)) == text for text in texts.values)
        values: np.ndarray = np.array([*map(int, texts.values)], np.int64) if whole else np.array(texts.values)
        return values[texts.codes]
    numbers = [spec.class_of(text) for text in texts.values]
    if None in numbers:
        k = numbers.index(None)
        what = f"{file.place} {column.index[texts.first(k)]}, column {name}: unknown class '{texts.values[k]}'"
        near = nearest(texts.values[k], map(str, spec.labels))
        raise UserError(what, where, near or f"the classes are {spec.class_names}")
    return np.array(numbers, np.int64)[texts.codes]


def _values(found: Found) -> str:
    """Return what a column holds, in a few words."""
    if found.column is None or found.column.kind == "category":
        levels = found.column.levels if found.column else ()
        rare = f", of which the last stands for {found.rare} rare ones" if found.rare else ""
        return f"{len(levels)}: {_some(levels)}{rare}" if levels else ""
    low, high = found.range or (0.0, 0.0)
    if found.column.kind == "date":
        unit: Literal["D", "s"] = "D" if found.column.days else "s"
        low, high = (str(np.datetime64(int(value), unit)).replace("T", " ") for value in (low, high))  # type: ignore[assignment]
        return f"{low} .. {high}"
    spikes = [f"{value:.7g} ({share:.0%})" for value, share in sorted(found.shares.items(), key=lambda item: -item[1])]
    masses = f"; point masses {', '.join(spikes[:3])}{', ...' * (len(spikes) > 3)}" if spikes else ""
    return f"{low:.7g} .. {high:.7g}{masses}"


def _some(levels: Sequence[object]) -> str:
    shown = [str(level) for level in levels[:MOST_SHOWN]]
    while len(shown) > 1 and sum(map(len, shown)) > LONGEST:
        shown.pop()
    return ", ".join(shown) + (", ..." if len(levels) > len(shown) else "")
