"""What is taken for what in a table: headers of numbers, an index, comments, encodings; and that it is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.data.columns import Wanted, read_columns
from tests.support.files import one_line

X = np.random.default_rng(0).normal([7, 3, 10], [2, 0.1, 1], (30, 3)).round(4) + 0.00001
LINES = [",".join(map(repr, row)) for row in X.tolist()]
ROWS = "\n".join(LINES) + "\n"
INDEXED = "".join(f"{i + 5},{line}\n" for i, line in enumerate(LINES))
NAMED = "".join(f'"row {i}",{line}\n' for i, line in enumerate(LINES))
WITHOUT = "without its first column, which has no name"

# Bytes, the names that are read of them, and what is said.
FILES: dict[str, tuple[str | bytes, str, str]] = {
    "header of positions": ("0,1,2\n" + ROWS, "0 1 2", "names of columns are 0, 1, 2"),
    "header of years": ("2001,2005,2004\n" + ROWS, "2001 2005 2004", "names of columns are 2001, 2005, 2004"),
    "names and years": ("height,weight,2003\n" + ROWS, "height weight 2003", "names of columns are height, weight"),
    "no header": (ROWS, "x0 x1 x2", ""),
    "no header, its first row whole": ("7,3,10\n5,4,1\n" + "\n".join(LINES[2:]), "x0 x1 x2", ""),
    "index of pandas": (",a,b,c\n" + INDEXED, "a b c", WITHOUT),
    "index of pandas, read and written": ("Unnamed: 0,a,b,c\n" + INDEXED, "a b c", WITHOUT),
    "index above positions": (",0,1,2\n" + INDEXED, "0 1 2", WITHOUT),
    "names of rows, as R writes them": ('"a","b","c"\n' + NAMED, "a b c", WITHOUT),
    "comments": ("# of a logger\n# in 2026\na,b,c\n" + ROWS, "a b c", "without 2 lines of comments"),
    "names in a comment, as savetxt writes them": ("# a,b,c\n" + ROWS, "a b c", "in a comment: a, b, c"),
    "Windows-1252": (("\u00b0C,b,c\n" + ROWS).encode("cp1252"), "\u00b0C b c", "read as Windows-1252"),
    "UTF-16": (("a,b,c\n" + ROWS).encode("utf-16"), "a b c", "read as UTF-16"),
    "UTF-16 without a mark": (("a,b,c\n" + ROWS).encode("utf-16-be"), "a b c", "read as UTF-16-BE"),
    "the separator named": (("sep=;\na,b,c\n" + ROWS).replace(",", ";"), "a b c", ""),
    "a separator that none would guess": (("sep=|\na,b,c\n" + ROWS).replace(",", "|"), "a b c", ""),
    "ends of lines of old": (("a,b,c\n" + ROWS).replace("\n", "\r"), "a b c", ""),
}


def saved(folder: Path, content: str | bytes, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("kind", FILES)
def test_what_is_taken_for_what_is_said(kind: str, tmp_path: Path) -> None:
    content, names, said = FILES[kind]
    found = read_columns(saved(tmp_path, content))
    assert " ".join(name.replace(" ", "_") for name in found.names) == names
    np.testing.assert_array_equal(found.x["data"][-5:], X[-5:])
    assert len(found.x["data"]) == len(X)
    assert said in ", ".join(found.notes) and bool(said) == bool(found.notes)


def test_a_key_decides_whether_the_first_row_is_a_header(tmp_path: Path) -> None:
    path = saved(tmp_path, "0,1\n2,3\n3,5\n")
    for header, names, rows in ((True, ("0", "1"), 2), (False, ("x0", "x1"), 3)):
        found = read_columns(path, Wanted(header=header))
        assert found.names == names and len(found.x["data"]) == rows
    with pytest.raises(UserError) as info:
        read_columns(path)
    assert "data.header=true or false" in one_line(info)
    assert read_columns(path, Wanted(only=("1",))).x["data"].tolist() == [[3], [5]]  # a density that knows the name


@pytest.mark.parametrize("row", ["5.1,2003,7", "1,2,7", "-1,0,1", ",2,3"])
def test_rows_of_values_are_no_header(row: str, tmp_path: Path) -> None:
    found = "x0 x1 x2" if row[0] != "," else None
    path = saved(tmp_path, f"{row}\n1,2,7\n" + ROWS)
    if found:
        assert " ".join(read_columns(path).names) == found
    else:
        with pytest.raises(UserError, match="line 1, column x0: a value is missing"):
            read_columns(path)


def test_an_index_is_kept_where_it_is_asked_for_or_counts_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path, ",a,b,c\n" + INDEXED)
    assert read_columns(path, Wanted(only=("x0", "a"))).names == ("x0", "a")  # a density trained on it
    assert read_columns(path, Wanted(drop=("x0",))).notes == ()
    twice = saved(tmp_path, ",a,b,c\n" + INDEXED + INDEXED)
    assert read_columns(twice).names == ("x0", "a", "b", "c")
    measured = saved(tmp_path, ",b,c\n" + ROWS)  # all different, but no index
    assert read_columns(measured).names == ("x0", "b", "c")


def test_columns_are_read_by_name_whatever_the_others_hold(tmp_path: Path) -> None:
    path = saved(tmp_path, "species,b,a\nsetosa,20.1,171.0\n,19,165.5\n")
    found = read_columns(path, Wanted(only=("a", "b")))
    assert found.x["data"].tolist() == [[171, 20.1], [165.5, 19]] and found.names == ("a", "b")
    assert found.notes == ("without columns that the density does not have: species",)
    with pytest.raises(UserError) as info:
        read_columns(path, Wanted(only=("a", "bb")))
    assert "no column 'bb'; did you mean 'b'?; this density takes a, bb" in one_line(info)
    with pytest.raises(UserError) as info:
        read_columns(saved(tmp_path, "a,b\n1,\n"), Wanted(only=("b",)))
    assert "column b: a value is missing; mend or remove that row" in one_line(info)
    assert "data.drop" not in one_line(info)


def test_other_sheets_are_named(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        for sheet in ("first", "second"):
            pd.DataFrame(X, columns=["a", "b", "c"]).to_excel(book, sheet_name=sheet)  # with its index
    found = read_columns(tmp_path / "a.xlsx")
    assert found.names == ("a", "b", "c") and "of its sheets, first and not second" in found.notes
    np.testing.assert_allclose(found.x["data"], X)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    for content in (bytes([0, 255, 3]), b"PK\x03\x04 a zip file", b"\xff\xfea"):
        with pytest.raises(UserError) as info:
            read_columns(saved(tmp_path, content))
        assert "not a text file" in one_line(info)
