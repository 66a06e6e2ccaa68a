"""Dates as people write them: the year first, as in ISO 8601, or the day or the month, where a column tells which.

Which of two numbers is the day is told by those above 12, and never guessed.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column
from ar_lightning.media.cells import MISSING, is_missing, texts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dates", "as_texts", "dates_in", "dates_of", "layout_of", "seconds_of"]

ISO = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d:?\d\d)?)?")
SHORT = re.compile(r"(\d\d?)([./-])(\d\d?)\2(\d{4})(?: (\d\d?)(:\d\d)(:\d\d)?(?: ?([AP])M)?)?", re.IGNORECASE)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
ORDERS = ("%d %m %Y", "%m %d %Y")
EXAMPLE = datetime(2026, 1, 31, 12, 30)


class Dates(NamedTuple):
    """What the texts of a column are as dates."""

    written: str | None  # how they are written, as of `Column.written`; None where they are no dates
    why: str
    undecided: str | None = None  # one of them, if each may have the day or the month first


def dates_in(texts: Sequence[str]) -> Dates:
    """Tell whether texts, all different and none missing, are dates, and how they are written.

    Example:
        >>> for texts in (["2026-01-31"], ["1/2/2026", "31/1/2026"], ["1/2/2026"], ["13/1/2026", "1/13/2026"]):
        ...     print(*dates_in(texts), sep=" | ")
         | dates of ISO 8601 | None
        %d/%m/%Y | dates, the day first | None
        None | text; of dates such as 1/2/2026 the day or the month may come first: write 2026-01-31 | 1/2/2026
        None | text | None
    """
    if texts and all(ISO.fullmatch(text) and seconds_of(text) is not None for text in texts):
        return Dates("", "dates of ISO 8601")
    found = [match for match in map(SHORT.fullmatch, texts if all(map(SHORT.fullmatch, texts)) else ()) if match]
    if len({match[2] for match in found}) != 1:
        return Dates(None, "text")
    orders = [order for order in ORDERS if all(seconds_of(t, order) is not None for t in texts)]
    if len(orders) == 2:
        why = f"text; of dates such as {texts[0]} the day or the month may come first: write {EXAMPLE:%Y-%m-%d}"
        return Dates(None, why, texts[0])
    if not orders:
        return Dates(None, "text")
    time = " %H:%M" if any(match[5] for match in found) else ""
    time += ":%S" if any(match[7] for match in found) else ""
    time = time.replace("%H", "%I") + " %p" if any(match[8] for match in found) else time
    written = orders[0].replace(" ", found[0][2]) + time
    return Dates(written, f"dates, the {'day' if written.startswith('%d') else 'month'} first")


def layout_of(text: str) -> str | None:
    """Return what dates of one layout have in common; None for what is no date, whichever of its numbers is the day.

    Example:
        >>> [layout_of(text) for text in ("2026-01-31", "2026-02-30", "31/1/2026", "1.31.2026", "31/31/2026", "soon")]
        ['year', None, '/', '.', None, None]
    """
    if seconds_of(text) is not None:
        return "year"
    is_date = any(seconds_of(text, order) is not None for order in ORDERS)
    return re.sub("[^./-]", "", text)[0] if is_date else None


def seconds_of(text: str, written: str = "") -> float | None:
    """Return the seconds since 1970 of a date, in UTC where it names no other offset; None for what is no date.

    The year may come first in any column; the day or the month only where dates are `written` so.

    Example:
        >>> texts = "1970-01-02", "1970/01/02 00:01", "1970-02-30", "02/01/1970", "1970"
        >>> [seconds_of(text) for text in texts]
        [86400.0, 86460.0, None, None, None]
        >>> seconds_of("2.1.1970", "%d/%m/%Y"), seconds_of("1/2/1970 1:00 pm", "%m/%d/%Y %I:%M %p")
        (86400.0, 133200.0)
    """
    if found := ISO.fullmatch(text):
        year, _, month, day, time, zone = found.groups()
        away = OFFSET.fullmatch(zone or "")
        minutes = int(away[1] + "1") * (60 * int(away[2]) + int(away[3])) if away else 0
        return _seconds(f"{year}-{month}-{day}T{time or '00:00'}", 60 * minutes)
    if not written or not (found := SHORT.fullmatch(text)):
        return None
    first, _, second, year, hour, minute, second_of, half = found.groups()
    day, month = (first, second) if written.startswith("%d") else (second, first)
    if half:
        if not 1 <= int(hour) <= 12:
            return None
        hour = str(int(hour) % 12 + 12 * (half in "pP"))
    time = f"{(hour or '0').zfill(2)}{minute or ':00'}{second_of or ''}"
    return _seconds(f"{year}-{month.zfill(2)}-{day.zfill(2)}T{time}")


def _seconds(text: str, away: int = 0) -> float | None:
    try:
        return float(np.datetime64(text, "us").astype(np.int64) / 1e6) - away
    except ValueError:  # such as February 30
        return None


def dates_of(column: "pd.Series", where: str, place: str = "row", written: str = "") -> np.ndarray:
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
    seconds = [seconds_of(text, written) for text in texts.values]
    for k, value in enumerate(seconds):
        if value is None and not is_missing(texts.values[k]):
            what = f"{place} {column.index[texts.first(k)]}, column {column.name}: '{texts.values[k]}' is no date"
            ways = [EXAMPLE.strftime(written)] * bool(written) + ["2026-01-31 or 2026-01-31T12:30:00"]
            raise UserError(what, where, f"write dates as {', '.join(ways)}")
    return np.array([*(np.nan if v is None else v for v in seconds), np.nan])[texts.codes]


def as_texts(cells: "pd.Series", column: Column) -> "pd.Series":
    """Return dates as a file has them: as the training file wrote them, else as ISO 8601 does."""
    if column.written:
        return cells.dt.strftime(column.written)
    return cells.dt.strftime("%Y-%m-%dT%H:%M:%S").str.removesuffix("T00:00:00")
