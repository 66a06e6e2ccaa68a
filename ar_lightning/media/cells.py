"""Cells of a column as people write them: texts, numbers and dates, and what stands for a missing one."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MISSING",
    "Texts",
    "dates_of",
    "is_date",
    "is_missing",
    "number_of",
    "numbers_of",
    "parsed",
    "seconds_of",
    "texts_of",
]

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?")  # `none` may be a word
DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d:?\d\d)?)?")  # of ISO 8601
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


class Texts(NamedTuple):
    """A column as texts: `values[codes[i]]` is that of row i; -1 where it is missing."""

    codes: np.ndarray  # (N,) int64
    values: list[str]  # all different, in the order in which they come

    def first(self, value: int) -> int:
        """Return the first row that has a value."""
        return int((self.codes == value).argmax())


def texts_of(column: "pd.Series", missing: Sequence[str] = ("",)) -> Texts:
    """Return a column as texts without the white space around them; these texts of it are missing."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, found = np.asarray(column.cat.codes, np.int64), column.cat.categories
    else:
        codes, found = pd.factorize(column)
    numbers: dict[str, int] = {}
    absent = set(missing)
    of = np.full(len(found) + 1, -1)  # the last one is for -1
    for i in np.unique(codes[codes >= 0]).tolist():
        text = _text(found[i])
        of[i] = -1 if text in absent else numbers.setdefault(text, len(numbers))
    return Texts(of[codes], list(numbers))


def is_missing(text: str) -> bool:
    """Return whether a text among numbers or dates stands for none."""
    return text in MISSING or text.lower() in ("none", "na")


def parsed(texts: Texts) -> tuple[np.ndarray, int | None]:
    """Return texts as numbers `(N,)` float64, NaN where one is missing, and the first value that is no finite one."""
    values = [number_of(text) for text in texts.values]
    bad = next((i for i, value in enumerate(values) if value is None), None)
    return np.array([*(np.nan if v is None else v for v in values), np.nan])[texts.codes], bad


def numbers_of(column: "pd.Series", where: str, place: str = "row") -> np.ndarray:
    """Return a column of numbers as float64 `(N,)`, NaN where one is missing.

    Raises:
        UserError: a cell is no finite number; it is named by the column and the index of its row.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        bad, what = np.isinf(numbers), "is no finite number"
        found = next((str(numbers[i]) for i in np.flatnonzero(bad)), "")
    else:
        texts = texts_of(column)
        numbers, first = parsed(texts)
        bad, found, what = texts.codes == first, "" if first is None else texts.values[first], "is no number"
    for i in np.flatnonzero(bad)[:1]:
        raise UserError(f"{place} {column.index[i]}, column {column.name}: '{found}' {what}", where, "mend it")
    return numbers


def is_date(text: str) -> bool:
    """Return whether a text is a date, or one with a time, as ISO 8601 writes them: 2026-01-31, 2026-01-31T12:30:00Z.

    Example:
        >>> [is_date(text) for text in ("2026-01-31", "2026-01-31 12:30", "2026-02-30", "31.01.2026", "2026")]
        [True, True, False, False, False]
    """
    return seconds_of(text) is not None


def seconds_of(text: str) -> float | None:
    """Return the seconds since 1970 of a date, in UTC where it names no other offset; None for what is no date."""
    found = DATE.fullmatch(text)
    if not found:
        return None
    day, time, zone = found.groups()
    try:
        when = np.datetime64(f"{day}T{time or '00:00'}", "us")
    except ValueError:  # such as February 30
        return None
    away = OFFSET.fullmatch(zone or "")
    minutes = int(away[1] + "1") * (60 * int(away[2]) + int(away[3])) if away else 0
    return float(when.astype(np.int64) / 1e6) - 60 * minutes


def dates_of(column: "pd.Series", where: str, place: str = "row") -> np.ndarray:
    """Return a column of dates as seconds since 1970, float64 `(N,)`, NaN where one is missing.

    Raises:
        UserError: a cell is no date; it is named by the column and the index of its row.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        naive = column.dt.tz_convert(None) if getattr(column.dtype, "tz", None) else column
        ticks = naive.to_numpy().astype("datetime64[us]")
        return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)
    texts = texts_of(column, MISSING)
    seconds = [seconds_of(text) for text in texts.values]
    for k, value in enumerate(seconds):
        if value is None and not is_missing(texts.values[k]):
            what = f"{place} {column.index[texts.first(k)]}, column {column.name}: '{texts.values[k]}' is no date"
            raise UserError(what, where, "write dates as 2026-01-31 or 2026-01-31T12:30:00")
    return np.array([*(np.nan if v is None else v for v in seconds), np.nan])[texts.codes]


def _text(value: Any) -> str:
    """Return a cell as text: whole numbers without a point, dates as ISO 8601 writes them."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)
    if isinstance(value, (date, datetime)):  # of pandas, too
        return value.isoformat()
    return str(value).strip()


def number_of(text: str) -> float | None:
    """Return a text as a finite number, NaN where it stands for none; None where it is something else."""
    if is_missing(text):
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in text else None
