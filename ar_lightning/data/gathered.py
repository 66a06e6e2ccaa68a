"""Columns of a text file, gathered a few rows at a time: as numbers, or as the numbers of their distinct texts."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ar_lightning.data.delimited import Row
from ar_lightning.media.cells import number_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gathered"]

DISTINCT = 1000  # texts of a column of numbers that are kept as they are written
FIELDS = 2**21  # read at a time


def gathered(
    rows: Iterator[Row], names: Sequence[str], keep: Sequence[int], texts: Sequence[str] = (), holes: bool = True
) -> "pd.DataFrame":
    """Return columns of fields as a frame whose index is the line of each row.

    A column is of floats, NaN where one is missing, if it has many distinct texts that are all numbers; else it is
    categorical, of its texts without the white space around them. Missing cells of these are the text that they are.

    Args:
        rows: lines and fields, read once.
        names: of the columns that are kept.
        keep: their positions.
        texts: names of columns that stay texts, whatever they look like.
        holes: what stands for a missing number is NaN; else it is a text as others are.
    """
    import pandas as pd

    columns = [_Column(name in texts, holes) for name in names]
    lines: list[np.ndarray] = []
    size = 1
    while some := list(islice(rows, size)):
        size = max(1, FIELDS // len(some[0][1]))
        lines.append(np.array([line for line, _ in some]))
        fields = list(zip(*(row for _, row in some), strict=True))
        for column, d in zip(columns, keep, strict=True):
            column.add(fields[d])
    index = pd.Index(np.concatenate(lines) if lines else [], dtype="int64")
    cells = {d: column.cells() for d, column in enumerate(columns)}
    return pd.DataFrame(cells, index=index, copy=False).set_axis(list(names), axis=1)


class _Column:
    """A column while it is read."""

    def __init__(self, is_text: bool, holes: bool) -> None:
        self.is_text = is_text  # for good
        self.is_numbers = False
        self.holes = holes
        self.known: dict[str, int] = {}  # the number of each distinct text
        self.parts: list[np.ndarray] = []  # numbers of texts, or numbers
        self.odd: list[tuple[int, str]] = []  # rows whose text is no number, in a column of numbers
        self.rows = 0

    def add(self, fields: Sequence[str]) -> None:
        """Add the fields of the next rows."""
        if self.is_numbers:
            self.parts.append(self._numbers(fields))
        else:
            self.parts.append(self._codes(fields))
            if len(self.known) > DISTINCT and not self.is_text:
                self._try_numbers()
        self.rows += len(fields)

    def _codes(self, fields: Sequence[str]) -> np.ndarray:
        import pandas as pd

        codes, found = pd.factorize(np.array(fields, object), use_na_sentinel=False)
        known = self.known
        return np.array([known.setdefault(text.strip(), len(known)) for text in found], np.int32)[codes]

    def _try_numbers(self) -> None:
        values = [self._number(text) for text in self.known]
        if None in values:
            self.is_text = True
            return
        self.is_numbers = True
        numbers = np.array(values, np.float64)
        self.parts = [numbers[codes] for codes in self.parts]
        self.known = {}

    def _numbers(self, fields: Sequence[str]) -> np.ndarray:
        try:
            numbers = np.array(list(map(float, fields)))
            if np.isfinite(numbers).all() and "_" not in "".join(fields):
                return numbers
        except ValueError:
            pass
        values = [self._number(text.strip()) for text in fields]
        self.odd += [(self.rows + i, fields[i].strip()) for i, value in enumerate(values) if value is None]
        return np.array([np.nan if value is None else value for value in values])

    def _number(self, text: str) -> float | None:
        value = number_of(text)
        return None if value != value and not self.holes else value

    def cells(self) -> "np.ndarray | pd.Categorical":
        """Return all cells; the parts are given up."""
        import pandas as pd

        cells = np.concatenate(self.parts) if self.parts else np.zeros(0, np.int32)
        self.parts = []
        if not self.is_numbers:
            return pd.Categorical.from_codes(cells, pd.Index([*self.known], dtype=object))
        if not self.odd:
            return cells
        texts = np.array([repr(value).removesuffix(".0") for value in cells.tolist()], object)
        texts[np.isnan(cells)] = ""
        for row, text in self.odd:
            texts[row] = text
        return pd.Categorical(texts)
