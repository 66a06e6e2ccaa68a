"""What the columns of a table are: real and whole numbers, categories, dates; told from their cells."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.medium import Column
from ar_lightning.data.odd_cells import refuse_odd
from ar_lightning.data.spikes import knots_of, spikes_of
from ar_lightning.media.cells import MISSING, Texts, is_missing, numbers_of, parsed, texts_of
from ar_lightning.media.dates import EXAMPLE, Dates, dates_in, dates_of
from ar_lightning.media.frames import DAY, FARTHEST

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OTHER", "Found", "Kind", "Wishes", "infer_types"]

Kind = Literal["real", "integer", "category", "date"]
FEW, SEEN = 10, 20  # numbers of so few distinct values, had by so many rows on average, are categories
ROWS = 10  # so many whole numbers that count the rows are no accident
LARGEST = float(np.finfo(np.float32).max)
ROUNDING = 8 * float(np.finfo(np.float64).eps)  # relative error of a few sums
OTHER = "(other)"
CODE = re.compile(r"0\d+")  # a number that may be a code
NO_DATES = Dates(None, "text")
COUNTRIES = 10  # so many codes of two letters make NA one of them: Namibia


@dataclass(frozen=True)
class Wishes:
    """What a user says of the columns.

    Args:
        types: the kind of each column that is not left to be told, or one of all.
        max_levels: of a category; the rarer ones become one.
        gaps: what a missing cell is, where there are any.
    """

    types: Mapping[str, Kind] | Kind | None = None
    max_levels: int = 1000
    gaps: Literal["level", "unread"] = "unread"

    def kind_of(self, name: str) -> Kind | None:
        """Return the kind that a column is to be; None to tell it from its cells."""
        return self.types if isinstance(self.types, str) else (self.types or {}).get(name)


@dataclass(frozen=True)
class Found:
    """A column and what was told of it."""

    name: str
    column: Column | None  # None: it is left out
    why: str  # it is of this kind, or left out
    missing: int  # cells, of all rows
    rare: int = 0  # levels that became one
    shares: Mapping[float, float] = field(default_factory=dict)  # of the rows, by point mass
    range: tuple[float, float] | None = None  # of numbers, in all rows
    distinct: int = 0  # numbers

    @property
    def is_number(self) -> bool:
        """True of columns of numbers, also of those that are constant and thus left out."""
        return self.column is not None or (self.range is not None and self.why.startswith("constant"))


class _Cells(NamedTuple):
    """The cells of a column, as what they can be."""

    series: "pd.Series"
    texts: Texts | None  # None of columns that are numbers or dates already
    numbers: np.ndarray | None  # NaN where missing; None where some are none
    missing: np.ndarray  # (N,) bool
    written: str = ""  # of dates


def infer_types(
    frame: "pd.DataFrame", train: np.ndarray, wishes: Wishes, where: str, place: str = "row"
) -> list[Found]:
    """Tell what each column of a frame is.

    Kinds and levels are those of all rows; offsets, scales and point masses are of the training rows alone. A column
    is left out if it is empty, the same in all training rows, counts the rows, or has a text of its own in most rows.

    Args:
        frame: cells as texts, numbers, booleans or dates; its index says where a row stands.
        train: the positions of the training rows.
        wishes: what the user says.
        where: the file, for messages.
        place: what a row of it is called.

    Raises:
        UserError: a column is not of the kind that it shall be, or is nearly one of numbers.
    """
    if isinstance(wishes.types, Mapping):
        for name in wishes.types:
            if name not in frame.columns:
                raise UserError(f"data.types: no column '{name}'{did_you_mean(name, map(str, frame.columns))}", where)
    return [_found(frame.iloc[:, d], train, wishes, where, place) for d in range(frame.shape[1])]


def _found(series: "pd.Series", train: np.ndarray, wishes: Wishes, where: str, place: str) -> Found:
    import pandas as pd

    name, asked = str(series.name), wishes.kind_of(str(series.name))
    if pd.api.types.is_datetime64_any_dtype(series):
        cells = _Cells(series, None, None, series.isna().to_numpy())
        kind, why = asked or "date", "dates"
    elif pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
        numbers = numbers_of(series, where, place)
        cells = _Cells(series, None, numbers, np.isnan(numbers))
        kind, why = _kind_of_numbers(numbers, asked)
    else:
        cells, kind, why = _of_texts(series, asked, where, place)
    gone = int(cells.missing.sum())
    if asked:
        why = "data.types"
    if gone == len(series) or cells.missing[train].all():
        return Found(name, None, "empty" if gone == len(series) else "empty in the training rows", gone)
    gaps: Literal["level", "unread", "none"] = wishes.gaps if gone else "none"
    if kind == "category":
        return _category(name, cells, train, wishes, gaps, why, asked is not None)
    return _numbers(cells, kind, train, gaps, why, asked is not None, where, place)


def _of_texts(series: "pd.Series", asked: Kind | None, where: str, place: str) -> tuple[_Cells, Kind, str]:
    """Tell what texts are: numbers, dates or categories."""
    texts = texts_of(series)
    numbers, odd = parsed(texts)
    if asked in ("real", "integer") or (asked is None and odd is None):
        if odd is not None:
            refuse_odd(series, texts, odd, where, place)
        cells = _Cells(series, texts, numbers, np.isnan(numbers))
        kind, why = _kind_of_numbers(numbers, asked)
        if kind == "integer" and any(map(CODE.fullmatch, texts.values)):
            why += f", with zeros before them; of codes, data.types={{{series.name}: category}}"
        return cells, kind, why
    present = [text for text in texts.values if not is_missing(text)]
    dates = dates_in(present) if asked in ("date", None) else NO_DATES
    if asked == "date" and dates.undecided:
        what = f"column {series.name}: of dates such as {dates.undecided} the day or the month may come first"
        raise UserError(f"data.types: {what}", where, f"write dates as {EXAMPLE:%Y-%m-%d}")
    if asked == "date" or dates.written is not None:
        absent = np.array([*map(is_missing, texts.values), True])
        return _Cells(series, texts, None, absent[texts.codes], dates.written or ""), "date", dates.why
    markers = [text for text in texts.values if text in MISSING and not _is_value(text, present)]
    texts = texts_of(series, ("", *markers))
    if asked is None:
        refuse_odd(series, texts, None, where, place)
    return _Cells(series, texts, None, texts.codes < 0), "category", dates.why


def _is_value(marker: str, others: list[str]) -> bool:
    """Return whether what stands for a missing value elsewhere is one of the values here."""
    if marker == "?":  # a sign among other signs
        return bool(others) and all(len(text) == 1 and not text.isalnum() for text in others)
    codes = marker == "NA" and len(others) >= COUNTRIES
    return codes and all(len(text) == 2 and text.isalpha() and text.isupper() for text in others)


def _kind_of_numbers(numbers: np.ndarray, asked: Kind | None) -> tuple[Kind, str]:
    values = numbers[~np.isnan(numbers)]
    if asked or not len(values) or _is_constant(values):
        return asked or "real", ""
    distinct = np.unique(values)
    if len(distinct) <= FEW and len(values) >= SEEN * len(distinct):
        return "category", f"numbers, {len(distinct)} distinct"
    if _are_whole(values):
        return "integer", "whole numbers"
    return "real", "numbers"


def _is_constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _are_whole(values: np.ndarray) -> bool:
    """Return whether all are whole numbers that single precision holds beside an offset."""
    return bool((values == np.floor(values)).all() and np.abs(values).max() < 2**53 and np.ptp(values) < FARTHEST)


def _category(
    name: str, cells: _Cells, train: np.ndarray, wishes: Wishes, gaps: Literal["level", "unread", "none"], why: str,
    is_asked: bool,
) -> Found:  # fmt: skip
    """Return a category: its levels, the most frequent first, and one for those that are too many."""
    missing = int(cells.missing.sum())
    texts = _level_texts(cells)
    codes = np.where(cells.missing, -1, texts.codes)
    counts = Counter({texts.values[k]: int(n) for k, n in enumerate(np.bincount(codes[codes >= 0])) if n})
    is_level = gaps == "level" and bool(cells.missing[train].any())
    if len(np.unique(codes[train][codes[train] >= 0])) + is_level < 2:
        why = "constant" if len(counts) == 1 else "constant in the training rows"
        values = cells.numbers if cells.numbers is not None and not missing else None
        return Found(name, None, why, missing, range=_range(values) if values is not None else None)
    once = sum(n == 1 for n in counts.values())
    if why.startswith("text") and not is_asked and 2 * once > len(codes) - missing:
        rows = "every row" if once == len(codes) - missing else "most rows"
        return Found(name, None, f"text of its own in {rows}{why.removeprefix('text')}", missing)
    levels = sorted(counts, key=lambda text: (-counts[text], text))
    rare = 0
    if len(levels) > wishes.max_levels:
        rare, levels = len(levels) - wishes.max_levels + 1, levels[: wishes.max_levels - 1]
        levels.append(next(name for name in (OTHER, "(others)", "(the others)", "(rare)") if name not in levels))
    return Found(name, Column(name, "category", tuple(levels), other=rare > 0, gaps=gaps), why, missing, rare)


def _level_texts(cells: _Cells) -> Texts:
    """Return the cells of a category as texts; 1 and 1.0 are one level."""
    if cells.texts is None or cells.numbers is None:
        return cells.texts or texts_of(cells.series)
    import pandas as pd

    plain = texts_of(pd.Series(cells.numbers))
    written = sum(not is_missing(text) for text in cells.texts.values)
    return plain if len(plain.values) < written else cells.texts


def _numbers(
    cells: _Cells, kind: Kind, train: np.ndarray, gaps: Literal["level", "unread", "none"], why: str, is_asked: bool,
    where: str, place: str,
) -> Found:  # fmt: skip
    """Return a column of numbers or dates: where it lies in the training rows, and its point masses there."""
    name, missing = str(cells.series.name), int(cells.missing.sum())
    values = dates_of(cells.series, where, place, cells.written) if kind == "date" else cells.numbers
    if values is None:
        raise UserError(f"data.types: column {name} holds dates, not numbers", where, f"give {name}: date")
    days = kind == "date" and bool((values[~cells.missing] % DAY == 0).all())
    values = values / DAY if days else values
    present = values[~cells.missing]
    for i in np.flatnonzero(np.abs(values) > LARGEST)[:1]:
        what = (
            f"{place} {cells.series.index[i]}, column {name}: {values[i]:g} is beyond the numbers of single precision"
        )
        raise UserError(f"{what}, {LARGEST:.1e}", where, "mend or remove that row, or leave the column out: data.drop")
    whole = kind == "integer" or days
    if kind == "integer" and not _are_whole(present):
        i = next((i for i in np.flatnonzero(~cells.missing) if not float(values[i]).is_integer()), None)
        which = (
            f"{place} {cells.series.index[i]} holds {values[i]:g}" if i is not None else "its values differ too much"
        )
        raise UserError(f"data.types: column {name} is not of whole numbers: {which}", where, f"give {name}: real")
    known = values[train][~np.isnan(values[train])]
    if _is_constant(known):
        why = "constant" if _is_constant(present) else "constant in the training rows"
        return Found(name, None, why, missing, range=None if missing else _range(present))
    if kind == "integer" and not is_asked and not missing and _counts(values):
        return Found(name, None, "counts the rows", missing)
    spikes = spikes_of(known, whole)
    rest = known[~np.isin(known, spikes)]
    rest = rest if len(np.unique(rest)) > 1 else known
    size = float(np.abs(rest).max()) or 1.0  # squares may be more than double precision holds
    offset, scale = float((rest / size).mean() * size), float((rest / size).std() * size) or 1.0
    column = Column(
        name, kind, offset=round(offset) if whole else offset, scale=scale, days=days, written=cells.written,
        spikes=spikes, gaps=gaps, knots=knots_of(rest),
        lowest=0.0 if kind == "integer" and not (values < 0).any() else None,
    )  # fmt: skip
    shares = {spike: float((known == spike).mean()) for spike in spikes}
    return Found(name, column, why, missing, 0, shares, _range(present), len(np.unique(present)))


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _counts(values: np.ndarray) -> bool:
    """Return whether numbers count the rows from 0 or 1."""
    counted = len(values) >= ROWS and values[0] in (0, 1)
    return bool(counted and (values == values[0] + np.arange(len(values))).all())
