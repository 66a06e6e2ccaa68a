"""The lines of any text file, each an example (`data.name=lines data.path=names.txt`), and words of a bundled one."""

import re
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import Text
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits, hold_out
from ar_lightning.data.ragged import ragged, rows_of
from ar_lightning.data.user.text import BYTES, code_points, content_of, text_path

__all__ = ["LinesFile", "lines_of"]

NEWLINE, RETURN = 10, 13


class _Content(NamedTuple):
    flat: np.ndarray  # levels of all lines, one after another
    sizes: np.ndarray  # number of levels of each line
    symbols: str | None  # the character of each level; None of bytes
    notes: tuple[str, ...]  # what was left out


class LinesFile(Dataset):
    """Names, words, sentences, molecules ..: each line of a text file is an example, as long as it is.

    The end of a line is a symbol of its own, the last level: it is predicted, scored and drawn, so that p(line) is the
    probability of just this line, and those of all lines add up to one. Bits/dim are bits a symbol, ends included.
    Empty lines are left out. Without a path, the lines are the words of the text that `data.name=text` bundles, each
    once. A tenth of the lines, drawn at random, is valid, another is test.

    Args:
        path: the file, in UTF-8; null for the bundled words.
        unit: what a value is; any file is bytes.
        max_length: symbols of an example, its end among them, at most; longer lines are cut there, which is said. Null
            for the longest line.
        split_seed: chooses the lines of valid and test.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        unit: Literal["characters", "bytes"] = "characters",
        max_length: PositiveInt | None = None,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        self.path = text_path(path)
        self.unit = unit
        self.max_length = max_length
        self.split_seed = split_seed
        self.least = 1  # length of an example, at least: that of those a density was trained on

    @property
    def spec(self) -> DataSpec:
        symbols = self._content.symbols
        levels = BYTES if symbols is None else len(symbols)
        return DataSpec((1, self._rows[0]), levels + 1, medium=Text(symbols), ends=True)

    @property
    def regime(self) -> str:
        content, (length, cut) = self._content, self._rows
        sizes = "/".join(str(len(part)) for part in self._parts.values())
        what = f"{content.flat.size} {self.unit} in {len(content.sizes)} lines, ends are symbols too"
        levels = "256 bytes" if content.symbols is None else f"{len(content.symbols)} characters"
        how = f"valid and test held out at random with seed {self.split_seed}"
        shortened = f", {cut} lines cut to {length} {self.unit}" if cut else ""
        notes = "".join(f", {note}" for note in content.notes)
        return f"{self._title}, {what}, on {levels}, {how}, {sizes}{shortened}{notes}"

    def load(self) -> Splits:
        content, (length, _) = self._content, self._rows
        x = ragged(content.flat, content.sizes, length, self.spec.levels - 1)  # type: ignore[operator]
        return {name: Split(x[rows]) for name, rows in self._parts.items()}

    def in_terms_of(self, spec: DataSpec) -> "LinesFile":
        """Return the lines in rows as long as those of a density at least, where none is cut."""
        if spec.ends and self.max_length is None:
            self.least = spec.shape[-1]
        return self

    @property
    def _rows(self) -> tuple[int, int]:
        """Length of a row, and how many lines are cut to it."""
        length, cut = rows_of(self._content.sizes, self.max_length)
        return max(length, self.least), cut

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        held = hold_out(len(self._content.sizes), ("valid", "test"), self.split_seed, self._where)
        return {name: held[name] for name in SPLITS}

    @cached_property
    def _content(self) -> _Content:
        content = self._read()
        units = np.frombuffer(content, np.uint8) if self.unit == "bytes" else code_points(content, self._where)
        flat, sizes, empty = lines_of(units)
        if not len(flat):
            raise UserError("holds no line with anything in it, so there is nothing to model", self._where)
        symbols = None
        if self.unit == "characters":
            different, flat = np.unique(flat, return_inverse=True)
            symbols = "".join(map(chr, different))
        notes = (f"{empty} empty lines left out",) if empty else ()
        cut = rows_of(sizes, self.max_length)[1]
        said = (*notes, f"data.max_length={self.max_length} cuts {cut} of {len(sizes)} lines") if cut else notes
        if said:
            notice(f"{self._where}: {', '.join(said)}")
        return _Content(flat, sizes, symbols, notes)

    def _read(self) -> bytes:
        return content_of(self.path) if self.path else _words(content_of(None))

    @property
    def _where(self) -> str:
        return str(self.path or "the bundled words")

    @property
    def _title(self) -> str:
        return self.path.name if self.path else "words of the dataset descriptions of scikit-learn"


def lines_of(units: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Split characters or bytes at the ends of lines: return those of all lines, the size of each, and how many were
    empty, which are left out. A carriage return belongs to the end of a line.

    Example:
        >>> lines_of(np.frombuffer(b"ab\\r\\n\\nc", np.uint8))
        (array([97, 98, 99], dtype=uint8), array([2, 1]), 1)
    """
    ends = units == NEWLINE
    ends[:-1] |= (units[:-1] == RETURN) & ends[1:]
    breaks = np.flatnonzero(units == NEWLINE)
    line = np.searchsorted(breaks, np.flatnonzero(~ends))  # of each that is kept
    sizes = np.bincount(line, minlength=len(breaks) + 1)
    last = len(sizes) - 1 if not len(units) or units[-1] == NEWLINE else len(sizes)
    sizes = sizes[:last]
    return units[~ends], sizes[sizes > 0], int((sizes == 0).sum())


def _words(content: bytes) -> bytes:
    """Return the different words of a text, in lower case and in their order, a line each."""
    return "\n".join(sorted(set(re.findall(r"[a-z]+", content.decode("utf-8").lower())))).encode()
