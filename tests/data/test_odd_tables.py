"""Tables as people have them: each is read for what it is, or answered in one line that says what to do."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable, Table
from ar_lightning.data.user.table import TableFile
from tests.support.files import one_line

N = 40
RANDOM = np.random.RandomState(0)
V = [f"{value:.4f}" for value in RANDOM.randn(N)]
W = [f"{value:.4f}" for value in RANDOM.randn(N)]
COUNTS = [str(value) for value in RANDOM.poisson(30, N)]
COLOURS = [("red", "green", "blue")[i % 3] for i in range(N)]
DAYS = [f"2024-0{1 + i % 9}-{10 + i % 18}" for i in range(N)]
Content = str | bytes
Case = tuple[Content, dict[str, Any], dict[str, str] | str]


def csv(delimiter: str = ",", header: bool = True, **columns: list[str]) -> str:
    rows = [delimiter.join(row) for row in zip(*columns.values(), strict=True)]
    return "\n".join([delimiter.join(columns), *rows] if header else rows) + "\n"


def put(cells: list[str], **at: str) -> list[str]:
    """Return cells with others at some rows: `put(V, _3="x")`."""
    return [at.get(f"_{i}", cell) for i, cell in enumerate(cells)]


BASE = csv(v=V, c=COLOURS)
REAL, MIXED = {"v": "real", "w": "real"}, {"v": "real", "c": "category"}
LINES = BASE.splitlines()

CASES: dict[str, Case] = {
    # dialects
    "text and numbers": (BASE, {}, MIXED),
    "tabs": (BASE.replace(",", "\t"), {}, MIXED),
    "semicolons": (BASE.replace(",", ";"), {}, MIXED),
    "a sep= line": ("sep=;\n" + BASE.replace(",", ";"), {}, MIXED),
    "a sep= line in quotes": ('"sep=|"\n' + BASE.replace(",", "|"), {}, MIXED),
    "spaces": (BASE.replace(",", "   "), {}, MIXED),
    "spaces after commas": (BASE.replace(",", ", "), {}, MIXED),
    "spaces after cells": (BASE.replace("\n", "  \n"), {}, MIXED),
    "Windows ends of lines": (BASE.replace("\n", "\r\n"), {}, MIXED),
    "ends of lines of old": (BASE.replace("\n", "\r"), {}, MIXED),
    "blank lines between": (BASE.replace("\n", "\n\n"), {}, MIXED),
    "comments first": ("# of 2024\n# by hand\n" + BASE, {}, MIXED),
    "a byte order mark": ("\ufeff" + BASE, {}, MIXED),
    "UTF-16": (BASE.encode("utf-16"), {}, MIXED),
    "Windows-1252": (BASE.replace("red", "ro\u00df\u00e9").encode("cp1252"), {}, MIXED),
    "UTF-8 far into the file": (BASE + "0.5,\u4e2d\n0.7,\u4e2d\n0.7,\u4e2d\n0.7,\u4e2d\n", {}, MIXED),
    "gzip": (gzip.compress(BASE.encode()), {}, MIXED),
    "a damaged gzip": (gzip.compress(BASE.encode())[:-20], {}, "a damaged gzip file"),
    "all in quotes": (csv(v=[f'"{v}"' for v in V], c=[f'"{c}"' for c in COLOURS]), {}, MIXED),
    "newlines in quotes": (BASE.replace("red", '"dark\nred"'), {}, MIXED),
    "commas in quotes": (BASE.replace("red", '"red, dark"'), {}, MIXED),
    "quotes in quotes": (BASE.replace("red", '"red ""dark"""'), {}, MIXED),
    "a quote never closed": (BASE.replace("red", '"red', 1), {}, "cannot be read as CSV"),
    "mixed encodings": (BASE.encode() + b"0.5,r\xe9d\n", {}, MIXED),
    "an image": (bytes(range(256)), {}, "not a text file"),
    # headers
    "no header": (csv(header=False, v=V, c=COLOURS), {}, {"x0": "real", "x1": "category"}),
    "no header, said": (csv(header=False, v=V, c=COLOURS), {"header": False}, {"x0": "real", "x1": "category"}),
    "names twice": ("v,v\n" + csv(header=False, v=V, c=COLOURS), {}, "two columns are named 'v'; rename one"),
    "a column without a name": ("v,\n" + csv(header=False, v=V, c=COLOURS), {}, {"v": "real", "x1": "category"}),
    "two rows of names": (
        "v,c\nmetres,colour\n" + csv(header=False, v=V, c=COLOURS), {}, "'metres' is no number, as 40"),
    "names alone": ("v,c\n", {}, "has a header but no rows"),
    "nothing": ("", {}, "is empty"),
    "white space alone": (" \n\t\n", {}, "is empty"),
    "an index of pandas": (
        "," + LINES[0] + "\n" + "".join(f"{i},{row}\n" for i, row in enumerate(LINES[1:])), {}, MIXED),
    "an index with a name": (csv(row=[str(i + 1) for i in range(N)], v=V, c=COLOURS), {},
                             {"row": "counts the rows"} | MIXED),
    "names of rows, as R writes them": (
        LINES[0] + "\n" + "".join(f'"r{i}",{row}\n' for i, row in enumerate(LINES[1:])), {}, MIXED),
    "a name with spaces": (BASE.replace("v,c", "the value (m),c"), {}, {"the value (m)": "real", "c": "category"}),
    "a very wide header": (",".join(f"n{i}" for i in range(1_000_000)) + "\n", {}, "1,000,000 values, and a table has"),
    # rows
    "one row": ("v,c\n1.5,red\n", {}, "1 training examples are too few"),
    "two rows": ("v,c\n1.5,red\n2.5,blue\n", {}, "too few to hold out valid and test"),
    "three rows": ("v,w\n1.5,2.5\n2.5,1.5\n0.5,3.5\n", {}, "every column is constant"),
    "a short row": (BASE + "0.5\n", {}, "line 42 has 1 values where line 1 has 2; mend it"),
    "a long row": (BASE + "0.5,red,blue\n", {}, "line 42 has 3 values where line 1 has 2; mend it"),
    "one name above two columns": (
        "v\n" + csv(header=False, v=V, w=W), {}, "v (text of its own in every row), so there is nothing to model"),
    "bars": (BASE.replace(",", "|"), {}, MIXED),
    "trailing commas below the names": (
        BASE.replace("\n", ",\n").replace(",\n", "\n", 1), {}, MIXED | {"x2": "empty"}),
    "a trailing comma": (BASE.replace("\n", ",\n"), {}, MIXED | {"x2": "empty"}),
    # numbers
    "whole numbers": (csv(v=V, n=COUNTS), {}, {"v": "real", "n": "integer"}),
    "whole numbers with points": (csv(v=V, n=[f"{n}.0" for n in COUNTS]), {}, {"v": "real", "n": "integer"}),
    "a fraction among whole numbers": (csv(v=V, n=put(COUNTS, _3="2.5")), {}, {"v": "real", "n": "real"}),
    "exponents": (csv(v=V, w=[f"{v}e3" for v in V]), {}, REAL),
    "plus signs": (csv(v=V, w=[f"+{v.lstrip('-')}" for v in V]), {}, REAL),
    "infinity": (csv(v=put(V, _3="inf"), c=COLOURS), {}, "line 5, column v: 'inf' is no number, as 39 others are"),
    "1e300": (csv(v=put(V, _3="1e300"), c=COLOURS), {}, "line 5, column v: 1e+300 is beyond the numbers of single"),
    "1e30": (csv(v=put(V, _3="1e30"), c=COLOURS), {}, "column v: 1e+30 is so far from its other values that these"),
    "1e-300": (csv(v=[f"{v}e-300" for v in V], c=COLOURS), {}, MIXED),
    "large numbers of cards": (
        csv(v=V, n=[str(4 * 10**15 + 10**12 * i) for i in range(N)]), {}, {"v": "real", "n": "real"}),
    "a number of forty digits": (csv(v=V, n=put(COUNTS, _3="1" * 40)), {}, "column n: 1.11111e+39 is beyond"),
    "hexadecimal": (csv(v=V, n=[hex(i % 9) for i in range(N)]), {}, {"v": "real", "n": "category"}),
    "underscores": (csv(v=V, n=put(COUNTS, _3="1_2")), {}, "column n: '1_2' is no number"),
    "decimal commas": (csv(";", v=[v.replace(".", ",") for v in V], c=COLOURS), {}, MIXED),
    "several answers beside decimal points": (
        csv(";", v=V, a=["1,2", "1", "2,3", "3"] * (N // 4)), {}, "'1,2' is no number; write decimals with a point"),
    "a decimal comma": (csv(";", v=put(V, _3="1,5"), c=COLOURS), {}, "line 5, column v: '1,5' is no number"),
    "decimal commas between commas": (
        csv(v=[f'"{n},5"' for n in COUNTS], c=COLOURS), {}, ",5' is no number; write decimals with a point"),
    "thousands or decimals": (
        csv(";", v=V, n=[f"{int(n) + 1},500" for n in COUNTS]), {}, "500 if that is meant, and write decimals with a"),
    "thousands": (csv(";", v=V, n=[f"{int(n) * 1000:,}" for n in COUNTS]), {}, "column n: '"),
    "percent": (csv(v=V, n=[f"{n}%" for n in COUNTS]), {}, "%' is no number; write it as"),
    "money": (csv(v=V, n=[f"${n}.50" for n in COUNTS]), {}, "write it as"),
    "codes with zeros before them": (csv(v=V, n=["007", "012"] * (N // 2)), {}, {"v": "real", "n": "category"}),
    "zip codes": (
        csv(v=V, n=["00501", "10001"] * (N // 2)), {"types": {"n": "category"}}, {"v": "real", "n": "category"}),
    "booleans": (csv(v=V, b=["true", "false"] * (N // 2)), {}, {"v": "real", "b": "category"}),
    "zeros and ones": (csv(v=V, b=["0", "1"] * (N // 2)), {}, {"v": "real", "b": "category"}),
    "half of a column zero": (csv(v=[v if i % 2 else "0" for i, v in enumerate(V)], w=W), {}, REAL),
    # text
    "one word among numbers": (csv(v=put(V, _3="low"), c=COLOURS), {}, "line 5, column v: 'low' is no number, as 39"),
    "the word is named": (csv(v=put(V, _3="low"), c=COLOURS), {"missing": ["low"]}, MIXED),
    "words and numbers": (csv(v=V, m=["1", "2", "3", "many"] * (N // 4)), {}, {"v": "real", "m": "category"}),
    "numbers of tickets": (
        csv(v=V, t=[f"PC {i}" if i % 4 == 0 else str(i * 37) for i in range(N)]), {},
        {"v": "real", "t": "text of its own in every row"}),
    "names of people": (
        csv(v=V, w=W, who=[f"n{i}" for i in range(N)]), {}, {"who": "text of its own in every row"} | REAL),
    "all text": (csv(a=COLOURS, b=COLOURS[::-1]), {}, {"a": "category", "b": "category"}),
    "emoji": (BASE.replace("red", "\U0001f534"), {}, MIXED),
    "escape sequences": (BASE.replace("red", "\x1b[31mred"), {}, "not a text file"),
    # missing
    "empty cells": (csv(v=put(V, _3="", _7=""), c=put(COLOURS, _5="")), {}, MIXED),
    "markers": (
        csv(v=put(V, _3="NA", _4="n/a", _5="?", _6="null", _7="NaN", _8="None"), c=put(COLOURS, _5="?")), {}, MIXED),
    "a number that is a marker": (csv(v=put(V, _3="-999"), c=COLOURS), {"missing": ["-999.0"]}, MIXED),
    "an empty column": (csv(v=V, c=COLOURS, e=[""] * N), {}, MIXED | {"e": "empty"}),
    "a column of question marks": (csv(v=V, c=COLOURS, e=["?"] * N), {}, MIXED | {"e": "empty"}),
    "a constant column": (csv(v=V, c=COLOURS, k=["k"] * N), {}, MIXED | {"k": "constant"}),
    "all constant": (csv(a=["1"] * N, b=["x"] * N), {}, "every column is constant"),
    # dates
    "days": (csv(v=V, d=DAYS), {}, {"v": "real", "d": "date"}),
    "times": (csv(v=V, d=[f"{day}T0{i % 9}:30:00Z" for i, day in enumerate(DAYS)]), {}, {"v": "real", "d": "date"}),
    "days of an order that nobody knows": (
        csv(v=V, d=["01/02/03", "04/05/06"] * (N // 2)), {}, {"v": "real", "d": "category"}),
    "days of an order that no day tells": (
        csv(v=V, d=["01/02/2003", "04/05/2006"] * (N // 2)), {}, {"v": "real", "d": "category"}),
    "the day first": (csv(v=V, d=["01/02/2003", "31/05/2006"] * (N // 2)), {}, {"v": "real", "d": "date"}),
    "the month first": (csv(v=V, d=["1/2/2003", "5/31/2006"] * (N // 2)), {}, {"v": "real", "d": "date"}),
    "a word among days": (csv(v=V, d=put(DAYS, _3="soon")), {}, "line 5, column d: 'soon' is no date as 39 others are"),
    "a day among days written otherwise": (csv(v=V, d=put(DAYS, _3="31/12/2020")), {}, "'31/12/2020' is no date as 39"),
    "no day among days, as pandas writes it": (csv(v=V, d=put(DAYS, _3="NaT")), {}, {"v": "real", "d": "date"}),
    "one day that is none": (
        csv(v=V, d=put(DAYS, _3="2024-02-30")), {"types": {"d": "date"}}, "'2024-02-30' is no date"),
    # what the user says
    "a type of no column": (BASE, {"types": {"u": "real"}}, "data.types: no column 'u'"),
    "a type that it has not": (BASE, {"types": {"c": "integer"}}, "column c is text, not numbers"),
    "a label": (BASE, {"label": "c"}, {"v": "real"}),
    "a label of no column": (BASE, {"label": "cc"}, "data.label: no column 'cc'; did you mean 'c'?"),
    "a label is missing": (csv(v=V, c=put(COLOURS, _5="?")), {"label": "c"}, "line 7, column c: a label is missing"),
    "a label in numbers": (csv(v=V, w=W), {"label": "w"}, "has the label"),
    "given": (BASE, {"given": ["c"]}, {"c": "category", "v": "real"}),
    "given and none": (BASE, {"given": ["d"]}, "data.given: no column 'd'"),
    "all given": (BASE, {"given": ["c", "v"]}, "nothing to model"),
    "given and constant": (csv(v=V, k=["k"] * N), {"given": ["k"]}, "data.given: column k tells nothing: constant"),
    "given and the label": (BASE, {"given": ["c"], "label": "c"}, "c is data.label"),
    "one level": (BASE, {"max_levels": 1}, "one level says nothing"),
}  # fmt: skip


def kinds(data: TableFile) -> dict[str, str]:
    """What each column is, or why it is left out."""
    medium = data.spec.medium
    told = {row[0]: row[4] for row in data.describe()[1:] if row[1] == "left out"}
    if isinstance(medium, Table):
        return told | dict.fromkeys(medium.columns, "real")
    assert isinstance(medium, MixedTable)
    return told | {column.name: column.kind for column in medium.columns}


@pytest.mark.parametrize("case", CASES)
def test_a_table_is_read_or_answered(case: str, tmp_path: Path) -> None:
    content, options, expected = CASES[case]
    path = tmp_path / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if isinstance(expected, str):
        with pytest.raises(UserError) as info:
            TableFile(path=str(path), **options).load()
        assert expected in one_line(info)
        return
    data = TableFile(path=str(path), **options)
    assert kinds(data) == expected
    for split in data.load().values():
        assert split.x.shape[1:] == data.spec.shape and split.x.dtype == np.float32
