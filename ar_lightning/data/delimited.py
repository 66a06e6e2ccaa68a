"""Rows of fields in a text file: any dialect of CSV, as spreadsheets, loggers and NumPy write it."""

import csv
import re
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from ar_lightning.core.errors import UserError
from ar_lightning.media.characters import MARK, characters_of, encoding_of

__all__ = ["Fields", "read_fields"]

DELIMITERS = (",", ";", "\t")
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line by which Excel is told the delimiter
COMMENT = re.compile(r"\s*(#|%|//)+\s*")
UNKNOWN = "\ufffd"  # what bytes become that are no character
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # in no text


class Fields(NamedTuple):
    """The fields of a file, row by row; all rows have as many."""

    rows: dict[int, list[str]]  # by the line that each starts in, from 1
    comment: list[str]  # what the last line of comments before them would be as a row, such as the header of savetxt
    notes: tuple[str, ...]  # what was taken for what


def read_fields(path: Path) -> Fields:
    """Read a text file as rows of fields, without blank lines and the comments before the first row.

    The delimiter is what a line `sep=;` says, else a comma, a semicolon or a tab if the first row has some, else white
    space. Text is in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, or else in Windows-1252.
    """
    text, encoding = _decoded(path)
    notes = [f"read as {encoding}"] if encoding else []
    lines = StringIO(text, newline=None).readlines()
    first, delimiter, comment = 0, "", ""
    if lines and (told := SEPARATOR.fullmatch(lines[0])):
        first, delimiter = 1, told[1]
    comments = 0
    while first < len(lines) and (not lines[first].strip() or COMMENT.match(lines[first])):
        if lines[first].strip():
            comments, comment = comments + 1, COMMENT.sub("", lines[first], count=1)
        first += 1
    if comments:
        notes.append(f"without {comments} line{'s' * (comments > 1)} of comments")
    delimiter = delimiter or _delimiter(lines[first] if first < len(lines) else "")
    rows = _rows(path, lines, first, delimiter)
    return Fields(rows, next(iter(_rows(path, [comment], 0, delimiter).values()), []), tuple(notes))


def _rows(path: Path, lines: list[str], first: int, delimiter: str) -> dict[int, list[str]]:
    source = (" ".join(line.split()) for line in lines[first:]) if delimiter == " " else lines[first:]
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: dict[int, list[str]] = {}
    line = first + 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                rows[line] = row
            line = first + reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}, line {line}); mend it") from error
    if not rows:
        return rows
    top, *others = rows
    if others and all(len(rows[other]) == len(rows[top]) + 1 for other in others):
        rows[top] = ["", *rows[top]]  # as R writes it, whose names of rows have no name
    for line, row in rows.items():
        if len(row) != len(rows[top]):
            lengths = f"line {line} has {len(row)} values where line {top} has {len(rows[top])}"
            raise UserError(f"{path}: {lengths}; mend it")
    return rows


def _decoded(path: Path) -> tuple[str, str | None]:
    """Return the text of a file, and its encoding where that is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding, errors="replace") if encoding else characters_of(content)
    except UserError:
        encoding = "Windows-1252"  # what spreadsheets on Windows call text
        text = content.decode(encoding, errors="replace")
    if CONTROL.search(text) or (encoding and UNKNOWN in text):
        raise UserError(f"{path}: not a text file; give a CSV, Parquet, Excel, .npz or .hdf5 file")
    return text.removeprefix(MARK), encoding


def _delimiter(line: str) -> str:
    """Return the delimiter of a line, whose quoted texts do not count; a space for any white space."""
    counts = {delimiter: len(next(csv.reader([line], delimiter=delimiter), [])) for delimiter in DELIMITERS}
    # Semicolons separate where there are any: the commas beside them are decimal points.
    best = ";" if counts[";"] > 1 else max(DELIMITERS, key=lambda delimiter: counts[delimiter])
    return best if counts[best] > 1 else " "
