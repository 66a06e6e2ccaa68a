"""What the values of an example are to a person: sound, text or the columns of a table. Images need no saying.

Kept in every checkpoint, so that samples of a loaded density can be heard and read. Plain Python.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Audio", "Medium", "Table", "Text", "medium_from_dict", "medium_to_dict"]


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
    """A window of text, `(1, T)`: the character of each level, or None where the levels are bytes of UTF-8."""

    symbols: str | None = None


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


Medium = Audio | Text | Table
KINDS: dict[str, Any] = {"audio": Audio, "text": Text, "table": Table}


def medium_to_dict(medium: Medium) -> dict[str, Any]:
    """Return plain containers, as kept in checkpoints."""
    kind = next(name for name, cls in KINDS.items() if isinstance(medium, cls))
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(medium).items()}
    return {"kind": kind, **fields}


def medium_from_dict(plain: dict[str, Any]) -> Medium:
    """Inverse of `medium_to_dict`; `ValueError` where that has not written it."""
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k != "kind"}
    medium: Medium = KINDS[plain["kind"]](**fields)
    match medium:
        case Audio(int(rate), "mu_law" | "linear") if rate > 0:
            return medium
        case Text(None | str()):
            return medium
        case Table(tuple(columns), tuple(offset), tuple(scale)) if len(columns) == len(offset) == len(scale):
            if all(isinstance(v, (int, float)) for v in (*offset, *scale)) and all(isinstance(c, str) for c in columns):
                return medium
    raise ValueError(f"data: a medium of kind {plain['kind']} that is not whole")
