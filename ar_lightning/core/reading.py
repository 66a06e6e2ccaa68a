"""Side files of a run, whatever has become of them: `metrics.csv`, JSON such as `result.json`, and its last samples."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

from ar_lightning.core.errors import UserError, first_line, of_the_system

__all__ = ["read_json", "read_metrics", "samples_of"]

FIRST = ["step", "epoch"]  # columns of metrics.csv, which hold whole numbers
SAMPLES = (".png", ".txt")  # no recordings: they are made by one command


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; a `UserError` says what is wrong with it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise of_the_system(error) from None
    except RecursionError:
        raise UserError("not valid JSON of ours: it is nested too deeply", file) from None
    except ValueError as error:  # broken JSON, or no UTF-8
        raise UserError(f"not valid JSON ({first_line(error)})", file) from None
    if not isinstance(content, dict):
        raise UserError("expected an object with keys", file)
    return content


def read_metrics(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the complete rows of a `metrics.csv`, whose fields are checked to be numbers or empty.

    A killed process may have left half a line at its end, which is left out. A file that is not there has no rows.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise of_the_system(error) from None
    except UnicodeDecodeError as error:
        raise UserError(f"not text in UTF-8 (byte {error.start})", file) from None
    reader = csv.DictReader(StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)
    try:
        columns, rows = [*(reader.fieldnames or FIRST)], []
        if not set(FIRST) <= set(columns) or len(set(columns)) < len(columns):
            raise UserError(f"its first line does not name {' and '.join(FIRST)} and metrics, once each", file)
        for row in reader:
            if problem := _problem(row, len(columns)):
                raise UserError(f"line {reader.line_num}: {problem}", file)
            rows.append(row)
    except csv.Error as error:
        raise UserError(f"line {reader.line_num}: {error}", file) from None
    return columns, rows


def samples_of(folder: Path) -> dict[str, Path]:
    """Return the last samples of a run, or those that were exported, by their names in an export.

    Of a table of mixed columns, they are the picture of the marginals.
    """
    places = {f"samples{end}": [folder / "samples" / f"final{end}", folder / f"samples{end}"] for end in SAMPLES}
    places["samples.png"].append(folder / "samples" / "final-marginals.png")
    return {name: path for name, paths in places.items() for path in paths if path.is_file()}


def _problem(row: dict[Any, Any], columns: int) -> str:
    """Return what is wrong with a row, nothing if all is right."""
    if None in row or None in row.values():
        return f"expected a value, or none, for each of the {columns} columns"
    for name, value in row.items():
        try:
            whole = name not in FIRST or bool(re.fullmatch("[0-9]{0,18}", value))
            float(value or 0)
        except ValueError:
            whole = False
        if not whole:
            return f"{name} is {value[:40]!r}, expected a {'whole ' if name in FIRST else ''}number"
    return ""
