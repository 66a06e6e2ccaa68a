"""Columns that are nearly of numbers or dates: the cell that is none is named, with what to do about it."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.media.cells import Texts, is_missing, number_of, parsed
from ar_lightning.media.dates import layout_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["refuse_odd"]

FEW, SEEN = 10, 20  # distinct texts, each in so many rows on average: a category, whatever they look like
MOSTLY = 0.1  # of the rows of a column of numbers that may have something else by mistake, at most
SIGNS = re.compile(r"[$€£¥%\s]")
DECIMAL = re.compile(r"[-+]?\d+,\d+")
POINTS = re.compile(r"[-+]?\d{1,3}(\.\d{3})+,\d+")
GROUPS = re.compile(r"(?<=\d)[,'\u2019](?=\d{3}(\D|$))")


def refuse_odd(series: "pd.Series", texts: Texts, odd: int | None, where: str, place: str) -> None:
    """Raise `UserError` for texts that are numbers written otherwise, or numbers or dates but for a few; pass text.

    Args:
        series: the column, whose index says where a row stands.
        texts: its cells.
        odd: the first text that is no number of a column that shall be one; None to tell whether it shall.
        where: the file, for messages.
        place: what a row of it is called.
    """
    if odd is None:
        odd = _odd(texts)
    if odd is None:
        return _refuse_odd_date(series, texts, where, place)
    text, name = texts.values[odd], series.name
    cell = f"{place} {series.index[texts.first(odd)]}, column {name}"
    if DECIMAL.fullmatch(text):
        either = f"write it as {GROUPS.sub('', text)} if that is meant, and " * bool(GROUPS.search(text))
        hint = f"{either}write decimals with a point, or take the column for text: data.types={{{name}: category}}"
        raise UserError(f"{cell}: '{text}' is no number", where, hint)
    numbers = int((~np.isnan(parsed(texts)[0])).sum())
    if not numbers and not _decorated(text):
        raise UserError(f"column {name} is text, not numbers", where, f"leave it out: data.drop=[{name}]")
    if _decorated(text):
        hint = f"write it as {_decorated(text)}, or take the column for text: data.types={{{name}: category}}"
        raise UserError(f"{cell}: '{text}' is no number", where, hint)
    hint = f"mend or remove that row, or give data.missing=['{text}'] or data.types={{{name}: category}}"
    raise UserError(f"{cell}: '{text}' is no number, as {numbers:,} others are", where, hint)


def _odd(texts: Texts) -> int | None:
    """Return the first text that is no number of a column that is nearly one of numbers; None of other columns."""
    values, rows = texts.values, np.bincount(texts.codes[texts.codes >= 0], minlength=len(texts.values))
    present = [k for k, text in enumerate(values) if not is_missing(text)]
    plain = {k for k in present if number_of(values[k]) is not None}
    others = [k for k in present if k not in plain]
    few = len(present) <= FEW
    if not others or (few and rows.sum() >= SEEN * len(present)):
        return None
    if all(_decorated(values[k]) for k in others):
        return others[0]
    return others[0] if plain and _are_slips(rows, present, others) else None


def _are_slips(rows: np.ndarray, present: list[int], others: list[int]) -> bool:
    """Return whether some texts are too rare to be meant; `rows` is how many rows have each."""
    is_rare = rows[others].sum() <= max(1, MOSTLY * rows.sum())
    return bool(is_rare and (len(present) > FEW or rows.sum() < 2 * len(present)))


def _refuse_odd_date(series: "pd.Series", texts: Texts, where: str, place: str) -> None:
    """Raise `UserError` if all but a few texts are dates of one layout."""
    values, rows = texts.values, np.bincount(texts.codes[texts.codes >= 0], minlength=len(texts.values))
    present = [k for k, text in enumerate(values) if not is_missing(text)]
    layouts = {k: layout_of(values[k]) for k in present}
    counts = Counter({layout: sum(rows[k] for k in present if layouts[k] == layout) for layout in {*layouts.values()}})
    usual = counts.most_common(1)[0][0] if counts else None
    others = [k for k in present if layouts[k] != usual]
    if usual is None or not others or not _are_slips(rows, present, others):
        return
    text, name = values[others[0]], series.name
    cell = f"{place} {series.index[texts.first(others[0])]}, column {name}"
    hint = f"mend or remove that row, or give data.missing=['{text}'] or data.types={{{name}: category}}"
    raise UserError(f"{cell}: '{text}' is no date as {counts[usual]:,} others are", where, hint)


def _decorated(text: str) -> str:
    """Return the number that a text with signs, such as those of money or thousands, is; empty where it is none.

    Example:
        >>> [_decorated(text) for text in ("$1,234.50", "5 %", "1 234", "31.01.2026", "12:30", "a5")]
        ['1234.50', '5', '1234', '', '', '']
    """
    if not re.fullmatch(r"[-+(]?[$€£¥]?\s?[-+]?[\d.,'\u2019\s]*\d[\d.,'\u2019\s]*[%$€£¥)]?", text):
        return ""
    bare = SIGNS.sub("", GROUPS.sub("", text))
    european = bare.replace(".", "").replace(",", ".") if POINTS.fullmatch(bare) else ""
    for number in (bare, bare.replace(",", "."), european):
        if re.fullmatch(r"[-+]?\d+(\.\d+)?", number) and (number.count(".") or "." not in text):
            return number
    return ""
