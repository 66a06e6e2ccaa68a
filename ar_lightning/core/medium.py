"""What the values of an example are to a person: sound, text or the columns of a table. Images need no saying.

Kept in every checkpoint, so that samples of a loaded density can be heard and read. Plain Python.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

__all__ = ["Audio", "Column", "Medium", "MixedTable", "Roll", "Table", "Text", "medium_from_dict", "medium_to_dict"]


@dataclass(frozen=True)
class Audio:
    """One channel of sound, `(1, T)`.

    Args:
        rate: samples a second.
        encoding: how amplitudes in [-1, 1] lie on the levels: `mu_law` finer where they are small, `linear` evenly.
            Real values, which have no levels, are the amplitudes themselves.
    """

    rate: int
    encoding: Literal["mu_law", "linear"] = "mu_law"


@dataclass(frozen=True)
class Text:
    """A window of text, `(1, T)`; the levels are bytes of UTF-8 where nothing says what they are.

    Args:
        symbols: the character of each level.
        tokenizer: the JSON of a tokenizer of the package `tokenizers`, whose tokens the levels are.
    """

    symbols: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Table:
    """A row of a table, `(1, D)`: column d has the value `offset[d] + scale[d] * z_d`, where z is what models read.

    Args:
        columns: their names.
        offset: what stands for zero in each column.
        scale: what stands for one in each column, over that.
        original: densities are reported in the units of the columns; else in those of z.
    """

    columns: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    original: bool = False

    @classmethod
    def plain(cls, columns: int) -> "Table":
        """Return the table of values that are read as they are, in columns x0, x1, ..."""
        return cls(tuple(f"x{d}" for d in range(columns)), (0.0,) * columns, (1.0,) * columns)

    @property
    def is_plain(self) -> bool:
        """True where the columns have neither names nor units of their own."""
        return self == Table.plain(len(self.columns))

    @property
    def log_volume(self) -> float:
        """Log of the volume, in the reported units, that a unit of volume of z has, in nats."""
        return sum(map(math.log, self.scale)) if self.original else 0.0


@dataclass(frozen=True)
class Roll:
    """Frames of channels `(C, T)`: those of sensors, or of a piano roll, 1 for each key that sounds at a time.

    Args:
        rate: frames a second.
        lowest: the MIDI number of the first channel, where each is a key; None where channels are no keys.
    """

    rate: float
    lowest: int | None = None


@dataclass(frozen=True)
class Column:
    """A column of a mixed table, and how its values are stored: as single-precision numbers, NaN where one is missing.

    A category is stored as the number of its level; a whole number n as `n - offset`; another number v as
    `(v - offset) / scale`. Dates are numbers of seconds, or whole numbers of days, since 1970.

    Args:
        name: its name.
        kind: what its values are.
        levels: of a category: what its levels are called, the most frequent first.
        other: of a category: the last level stands for all that are not named.
        offset: of numbers: what stands for zero; a whole number where the values are.
        scale: of numbers: their spread.
        lowest: of whole numbers: the least that is possible; None for no bound.
        spikes: of numbers: values that have a probability of their own, since many rows have just these.
        knots: of numbers: values in rising order, between which a network reads the others; see `knots_of`.
        days: of dates: they are whole days.
        written: of dates: how a file has them, such as %d/%m/%Y; empty for the year first, as in ISO 8601.
        gaps: what a missing value is: `level`, a value as others are; `unread`, nothing known, which is neither read
            nor scored; `none` where there are none.
    """

    name: str
    kind: Literal["real", "integer", "category", "date"]
    levels: tuple[str, ...] = ()
    other: bool = False
    offset: float = 0.0
    scale: float = 1.0
    lowest: float | None = None
    spikes: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    days: bool = False
    written: str = ""
    gaps: Literal["none", "level", "unread"] = "none"

    @property
    def is_whole(self) -> bool:
        """True where the values are whole numbers."""
        return self.kind == "integer" or (self.kind == "date" and self.days)

    @property
    def unit(self) -> float:
        """How much of a value one of what is stored is."""
        return 1.0 if self.is_whole else self.scale


@dataclass(frozen=True)
class MixedTable:
    """A row of columns of any kind, `(1, D)`: categories, whole and real numbers, dates.

    Args:
        columns: what they are.
        given: so many of them come first and are given: read, and neither scored nor drawn.
        header: their names, and that of a label, in the order in which rows are written; empty for that of `columns`.
    """

    columns: tuple[Column, ...]
    given: int = 0
    header: tuple[str, ...] = field(default=(), compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)


Medium = Audio | Text | Roll | Table | MixedTable
KINDS: dict[str, Any] = {"audio": Audio, "text": Text, "roll": Roll, "table": Table, "mixed_table": MixedTable}


def medium_to_dict(medium: Medium) -> dict[str, Any]:
    """Return plain containers, as kept in checkpoints."""
    kind = next(name for name, cls in KINDS.items() if isinstance(medium, cls))
    return {"kind": kind, **_listed(asdict(medium))}


def _listed(value: Any) -> Any:
    """Return nested containers with lists for tuples."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def medium_from_dict(plain: dict[str, Any]) -> Medium:
    """Inverse of `medium_to_dict`; `ValueError` where that has not written it."""
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k != "kind"}
    if plain["kind"] == "mixed_table":
        fields["columns"] = tuple(map(_column, fields["columns"]))
    medium: Medium = KINDS[plain["kind"]](**fields)
    match medium:
        case Audio(int(rate), "mu_law" | "linear") if rate > 0:
            return medium
        case Text(None | str(), None) | Text(None, str()):
            return medium
        case Roll(int() | float(), None | int()) if 0.1 <= medium.rate <= 1000 and 0 <= (medium.lowest or 0) <= 127:
            return medium
        case Table(tuple(columns), tuple(offset), tuple(scale)) if len(columns) == len(offset) == len(scale):
            if all(isinstance(v, (int, float)) for v in (*offset, *scale)) and all(isinstance(c, str) for c in columns):
                return medium
        case MixedTable(tuple(columns), int(given), tuple(header)) if columns and 0 <= given < len(columns):
            if all(isinstance(name, str) for name in header):
                return medium
    raise ValueError(f"data: a medium of kind {plain['kind']} that is not whole")


def _column(plain: dict[str, Any]) -> Column:
    """Return a column from plain containers; `ValueError` where it is not whole."""
    parts: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    column = Column(**parts)
    numbers = (
        column.offset,
        column.scale,
        *column.spikes,
        *column.knots,
        *((column.lowest,) if column.lowest is not None else ()),
    )
    is_whole = (
        isinstance(column.name, str)
        and isinstance(column.written, str)
        and all(isinstance(level, str) for level in column.levels)
        and all(isinstance(v, (int, float)) and math.isfinite(v) for v in numbers)
        and column.scale > 0
        and column.kind in get_args(Column.__annotations__["kind"])
        and column.gaps in get_args(Column.__annotations__["gaps"])
        and bool(column.levels) == (column.kind == "category")
    )
    if not is_whole:
        raise ValueError(f"data: a column {column.name} that is not whole")
    return column
