"""Any text file (`data.name=text data.path=book.txt`), and a bundled one."""

import codecs
import importlib.metadata
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError, nearby
from ar_lightning.core.fields import Fraction, PositiveInt
from ar_lightning.core.medium import Text
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.scikit_learn import bundled_files
from ar_lightning.media.byte_pairs import SMALLEST, byte_pairs, learned_from
from ar_lightning.media.characters import characters_of

__all__ = ["TextFile", "code_points", "content_of", "text_path"]

BYTES = 256
BUNDLED = "descr/*.rst", "give data.path=FILE"  # descriptions of datasets


class TextFile(Dataset):
    """Your own text from a file in UTF-8, by characters, bytes or tokens; without a path, a small bundled one.

    The text is cut in three: first train, then valid, or the other way round; last test. Each part is cut into windows
    of one length that follow each other; what is left over at its end is dropped. The levels are the characters that
    occur anywhere in the file, in the order of Unicode, or the 256 bytes, or the tokens of a byte-pair encoding that is
    learned from train alone, and kept with the density. Nothing is normalised: a line may end as it likes. A byte order
    mark at the start is no character.

    The bundled text are the descriptions of the datasets of scikit-learn, in the order of their files' names.

    Args:
        path: the file; null for the bundled text.
        unit: what a value is; any file is bytes. A text has many encodings by bpe, of which one is scored: its
            bits/character are an upper bound of the text's.
        vocabulary: tokens of bpe, the 256 bytes among them.
        length: characters, bytes or tokens of a window.
        valid_fraction: of the text.
        valid_first: valid comes before train, which then ends where test begins, and knows how that begins.
        test_fraction: of the text, at its end.
    """

    contiguous = True

    def __init__(
        self,
        *,
        path: str | None = None,
        unit: Literal["characters", "bytes", "bpe"] = "characters",
        vocabulary: PositiveInt = 512,
        length: PositiveInt = 128,
        valid_fraction: Fraction = 0.1,
        valid_first: bool = False,
        test_fraction: Fraction = 0.1,
    ) -> None:
        self.path = text_path(path)
        self.unit, self.vocabulary = unit, vocabulary
        self.units = "tokens" if unit == "bpe" else unit
        self.length = length
        self.valid_fraction = valid_fraction
        self.order = ("valid", "train", "test") if valid_first else SPLITS
        self.test_fraction = test_fraction
        if vocabulary < SMALLEST:
            raise UserError(f"data.vocabulary={vocabulary}: the {SMALLEST} bytes are among the tokens; make it larger")
        if valid_fraction + test_fraction >= 1:
            both = f"data.valid_fraction={valid_fraction:g} and data.test_fraction={test_fraction:g}"
            raise UserError(f"{both} leave nothing to train on; make them smaller")

    @property
    def spec(self) -> DataSpec:
        if self.unit == "bpe":
            tokens = byte_pairs(self._tokenizer).get_vocab_size()
            return DataSpec((1, self.length), tokens, medium=Text(None, self._tokenizer))
        _, symbols, _ = self._content
        return DataSpec((1, self.length), len(symbols) if symbols else BYTES, medium=Text(symbols))

    @property
    def regime(self) -> str:
        levels, symbols, marked = self._content
        values = f"the {len(symbols)} characters of the whole file" if symbols else "bytes"
        if self.unit == "bpe":
            values = f"the {self.spec.levels} tokens of a byte-pair encoding learned from train"
        values += ", without a byte order mark" if marked else ""
        ends = "/".join(f"{100 * len(part) / len(levels):.3g}" for part in self._cut.values())
        windows = "/".join(str(len(part) // self.length) for part in self._parts.values())
        dropped = "/".join(str(len(part) % self.length) for part in self._parts.values())
        order = "first train, then valid" if self.order == SPLITS else "first valid, then train"
        cut = f"{order}, last test, {ends} % of it, {windows} windows of {self.length}, {dropped} left over and dropped"
        units = "characters" if symbols else "bytes"
        return f"{self._title}, {len(levels)} {units}, on {values}, {cut}"

    def in_terms_of(self, spec: DataSpec) -> Dataset:
        """Encode by the tokenizer of a density, where that is of tokens too."""
        if self.unit == "bpe" and isinstance(spec.medium, Text) and spec.medium.tokenizer is not None:
            self._tokenizer = spec.medium.tokenizer
            self.__dict__.pop("_parts", None)  # which another may have encoded
        return self

    def load(self) -> Splits:
        return {name: Split(self._windows(name, part)) for name, part in self._parts.items()}

    def _windows(self, name: str, part: np.ndarray) -> np.ndarray:
        n = len(part) // self.length
        if not n:
            few = f"the {len(part)} {self.units} of {name} are less than a window of data.length={self.length}"
            raise UserError(f"{self._where}: {few}; make that smaller, or take more text")
        return part[: n * self.length].reshape(n, 1, self.length)

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        """Levels `(T,)` of each split."""
        if self.unit != "bpe":
            return self._cut
        pairs = byte_pairs(self._tokenizer)
        return {name: np.array(pairs.encode(self._text(name)).ids, np.int32) for name in self._cut}

    @cached_property
    def _tokenizer(self) -> str:
        return learned_from(self._text("train"), self.vocabulary)

    def _text(self, split: str) -> str:
        symbols = self._content[1] or ""
        return "".join(symbols[level] for level in self._cut[split])

    @cached_property
    def _cut(self) -> dict[str, np.ndarray]:
        """The characters or bytes `(T,)` of each split."""
        levels, _, _ = self._content
        # Rounded first: 100 * 0.07 is a little more than 7.
        test, valid = (ceil(round(len(levels) * f, 6)) for f in (self.test_fraction, self.valid_fraction))
        first = valid if self.order[0] == "valid" else len(levels) - test - valid
        parts = dict(zip(self.order, np.split(levels, [first, len(levels) - test]), strict=True))
        return {name: parts[name] for name in SPLITS}

    @cached_property
    def _content(self) -> tuple[np.ndarray, str | None, bool]:
        """Levels `(T,)` of the whole text, the character that each stands for, and whether a mark came before them."""
        content = self._read()
        units = np.frombuffer(content, np.uint8) if self.unit == "bytes" else code_points(content, self._where)
        different, levels = np.unique(units, return_inverse=True)
        if len(different) < 2:
            what = f"{chr(different[0])!r} over and over" if len(different) else "empty"
            raise UserError(f"{self._where}: this text is {what}, so there is nothing to model")
        if self.unit == "bytes":
            return units, None, False
        if marked := content.startswith(codecs.BOM_UTF8):
            notice(f"{self._where}: begins with a byte order mark, which is no character of it")
        return levels.astype(np.uint8 if len(different) <= BYTES else np.int32), "".join(map(chr, different)), marked

    def _read(self) -> bytes:
        return content_of(self.path)

    @property
    def _where(self) -> str:
        return str(self.path or "the bundled text")

    @property
    def _title(self) -> str:
        if self.path is not None:
            return self.path.name
        return f"dataset descriptions of scikit-learn {importlib.metadata.version('scikit-learn')}"


def text_path(path: str | None) -> Path | None:
    """Return the path of a file of text, which must be there; None for the bundled text."""
    if path is None:
        return None
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f"data.path: {file} is a folder, not a file of text")
    if not file.is_file():
        raise UserError(f"data.path: no file {file}{nearby(file)}")
    return file


def content_of(path: Path | None) -> bytes:
    """Return the bytes of a file of text, or of the bundled text."""
    try:
        return b"".join(file.read_bytes() for file in ([path] if path else bundled_files(*BUNDLED)))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def code_points(content: bytes, where: str) -> np.ndarray:
    """Return the characters `(T,)` of text in UTF-8, as numbers."""
    try:
        text = characters_of(content)
    except UserError as error:
        raise UserError(error.problem, where, f"{error.hint}, or take data.unit=bytes") from None
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
