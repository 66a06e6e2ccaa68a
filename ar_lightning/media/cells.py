"""Cells of a column as people write them: texts and numbers, and what stands for a missing one."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "Texts", "is_missing", "number_of", "numbers_of", "parsed", "texts_of"]

MISSING = (  # `none` may be a word; the last ones are of Excel and pandas
    "", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?", "#N/A", "<NA>", "NaT",
)  # fmt: skip


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
        try:
            codes, found = pd.factorize(column)
        except TypeError:  # lists or records, as Parquet has them
            codes, found = pd.factorize(column.map(str, na_action="ignore"))
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
