"""Rows of fields in a text file: any dialect of CSV, as spreadsheets, loggers and NumPy write it, also in gzip."""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

from ar_lightning.core.errors import UserError
from ar_lightning.media.characters import MARK, encoding_of

__all__ = ["Fields", "Row", "read_fields"]

Row = tuple[int, list[str]]  # the line that it starts in, from 1, and its fields
DELIMITERS = (",", ";", "\t", "|")
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line by which Excel is told the delimiter
SEPARATES = re.compile(r"(?<!\d),|,(?!\d)")  # a comma that is within no number
COMMENT = re.compile(r"\s*(#|%|//)+\s*")
UNKNOWN = "\ufffd"  # what bytes become that are no character
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # in no text
GZIP = b"\x1f\x8b"  # the first bytes of what is compressed
CHUNK = 2**24  # bytes read at a time
WIDEST = 50_000  # columns
HEAD, FIELDS = 1000, 2**20  # rows, and fields of them, at most, by which it is told what a field more than names is
LOOKED_AT = 2**16  # characters of a row, to find the delimiter


class Fields(NamedTuple):
    """The fields of a file, row by row; all rows have as many."""

    rows: Iterator[Row]  # to be read once
    comment: list[str]  # what the last line of comments before them would be as a row, such as the header of savetxt
    notes: tuple[str, ...]  # what was taken for what
    delimiter: str


def read_fields(path: Path) -> Fields:
    """Read a text file as rows of fields, without blank lines and the comments before the first row.

    The delimiter is what a line `sep=;` says, else a comma, a semicolon, a tab or a bar if the first row has some, else
    white space. Text is in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, or else in Windows-1252.

    Raises:
        UserError: it is no text; or, when the row is reached, that its length is not that of the others.
    """
    encoding = _encoding(path)
    notes = [f"read as {encoding}"] if encoding else []
    lines = _lines(path, encoding or "utf-8")
    first, line, delimiter, comment = next(lines, ""), 1, "", ""
    if told := SEPARATOR.fullmatch(first):
        first, line, delimiter = next(lines, ""), 2, told[1]
    comments = 0
    while first and (not first.strip() or COMMENT.match(first)):
        if first.strip():
            comments, comment = comments + 1, COMMENT.sub("", first, count=1)
        first, line = next(lines, ""), line + 1
    if comments:
        notes.append(f"without {comments} line{'s' * (comments > 1)} of comments")
    delimiter = delimiter or _delimiter(first)
    names = next(_rows(path, [comment], 1, delimiter), (0, []))[1]
    return Fields(_even(path, _rows(path, chain([first], lines), line, delimiter)), names, tuple(notes), delimiter)


def _rows(path: Path, lines: Iterable[str], line: int, delimiter: str) -> Iterator[Row]:
    """Yield rows of any length; the first of the lines has this number."""
    before = line - 1
    source = (" ".join(text.split()) for text in lines) if delimiter == " " else lines
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield line, row
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}, line {line}); mend it") from error


def _even(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows if all are as long; the first may lack a field.

    That is the name of a column that names the rows, or nothing, where all other rows end with a delimiter.
    """
    top, first = next(rows, (0, []))
    if len(first) > WIDEST:
        what = f"its first row has {len(first):,} values, and a table has at most {WIDEST:,} columns"
        raise UserError(what, path, "leave columns out; or transpose it, if its rows are columns")
    width = len(first)
    head = list(islice(rows, max(1, min(HEAD, FIELDS // (1 + width)))))
    more = bool(head) and len(head[0][1]) == width + 1  # as R writes it, whose names of rows have no name
    if first:
        ends = all(not row[-1].strip() for _, row in head)
        yield top, ([*first, ""] if ends else ["", *first]) if more else first
    for line, row in chain(head, rows):
        if len(row) != width + more:
            longer, values = (head[0][0], width + 1) if more else (line, len(row))
            raise UserError(f"{path}: line {longer} has {values} values where line {top} has {width}; mend it")
        yield line, row


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for its bytes, whether it is compressed or not."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            if packed:
                with gzip.open(file) as content:
                    yield content  # type: ignore[misc]  # a GzipFile is read as a file is
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: a damaged gzip file ({error}); get it anew") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with _opened(path) as file, TextIOWrapper(file, encoding, errors="replace", newline=None) as text:
        yield text.readline().removeprefix(MARK)
        yield from text


def _encoding(path: Path) -> str | None:
    """Return the encoding of a text file where that is not UTF-8; a `UserError` says that it is no text."""
    with _opened(path) as file:
        encoding = encoding_of(file.read(CHUNK))
    if encoding is None:
        try:
            _check_text(path, "utf-8", "strict")
            return None
        except UnicodeDecodeError:
            encoding = "Windows-1252"  # what spreadsheets on Windows call text
    _check_text(path, encoding, "replace")
    return encoding


def _check_text(path: Path, encoding: str, errors: str) -> None:
    decode = codecs.getincrementaldecoder(encoding)(errors).decode
    with _opened(path) as file:
        while True:
            content = file.read(CHUNK)
            text = decode(content, final=not content)
            if CONTROL.search(text) or (errors == "replace" and UNKNOWN in text):
                raise UserError(f"{path}: not a text file; give a CSV, Parquet, Excel, .npz or .hdf5 file")
            if not content:
                return


def _delimiter(line: str) -> str:
    """Return the delimiter of a line, whose quoted texts do not count; a space for any white space."""
    line = line[:LOOKED_AT]
    counts = {delimiter: len(next(csv.reader([line], delimiter=delimiter), [])) for delimiter in DELIMITERS}
    # Semicolons separate where there are any, and tabs and bars beside commas within numbers, which are decimal points.
    if counts[";"] > 1:
        return ";"
    if not SEPARATES.search(line) and max(counts["\t"], counts["|"]) > 1:
        counts.pop(",")
    best = max(counts, key=lambda delimiter: counts[delimiter])
    return best if counts[best] > 1 else " "
