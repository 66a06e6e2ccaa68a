"""Decimals with a comma, as spreadsheets of many countries write them, in a file where commas do not separate."""

import re
from collections.abc import Iterable, Iterator, Sequence

from ar_lightning.data.delimited import Row
from ar_lightning.media.cells import is_missing

__all__ = ["decimal_commas", "with_points"]

NUMBER = re.compile(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?")
POINT = re.compile(r"[-+]?\d+\.\d+")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # or a decimal


def decimal_commas(rows: Sequence[Row]) -> list[int]:
    """Return the columns whose numbers have their decimals after a comma.

    That is told by a number that is none of thousands, such as 1,5: where all are like 1,500, there are no such
    columns; nor where others have a point. The first row, which may be names, tells nothing.

    Example:
        >>> rows = [(1, ["a", "b", "c"]), (2, ["1,5", "1", "1,500"]), (3, ["", "x,1", "2"])]
        >>> decimal_commas(rows), decimal_commas([(line, row[2:]) for line, row in rows])
        ([0, 2], [])
    """
    found: dict[int, bool] = {}
    for d, fields in enumerate(zip(*(row for _, row in rows[1:]), strict=True)):
        texts = {text for text in map(str.strip, fields) if not is_missing(text)}
        if any(map(POINT.fullmatch, texts)):
            return []
        if all(map(NUMBER.fullmatch, texts)) and any("," in text for text in texts):
            found[d] = all(THOUSANDS.fullmatch(text) for text in texts if "," in text)
    return [] if all(found.values()) else list(found)


def with_points(rows: Iterable[Row], columns: Sequence[int]) -> Iterator[Row]:
    """Yield rows whose numbers in these columns have a point for a comma."""
    for line, row in rows:
        for d in columns:
            if "," in row[d] and NUMBER.fullmatch(text := row[d].strip()):
                row[d] = text.replace(",", ".")
        yield line, row
