"""Frames: every cell survives the way to what is stored and back; what cannot be stored is named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.media.frames import from_frame, to_frame
from tests.support.files import one_line

COLUMNS = (
    Column("colour", "category", levels=("red", "None", "(other)"), other=True, gaps="unread"),
    Column("smoker", "category", levels=("false", "true"), gaps="unread"),
    Column("visits", "integer", offset=3.0, scale=2.0, lowest=0.0, gaps="unread"),
    Column("big", "integer", offset=1e12, scale=5.0, gaps="unread"),
    Column("height", "real", offset=1.7, scale=0.1, spikes=(0.0,), gaps="unread"),
    Column("born", "date", offset=4000.0, scale=900.0, days=True, gaps="unread"),
    Column("seen", "date", offset=1.7e9, scale=1e5, gaps="unread"),
)
TABLE = MixedTable(COLUMNS)
FRAME = pd.DataFrame(
    {
        "colour": ["red", "None", "(other)", None],
        "smoker": ["true", "false", None, "true"],
        "visits": pd.array([0, 7, None, 2], dtype="Int64"),
        "big": pd.array([10**12, 10**12 + 1, None, 10**12 - 9], dtype="Int64"),
        "height": [1.83, 0.0, np.nan, 1.705],
        "born": np.array(["1980-02-29", "2001-01-01", "NaT", "1969-12-31"], "datetime64[s]"),
        "seen": np.array(["2023-11-14T22:13:20", "2023-11-15T00:00:01", "NaT", "2023-11-13"], "datetime64[s]"),
    }
)


def test_every_cell_comes_back() -> None:
    rows = from_frame(FRAME, TABLE, "here")
    assert rows.shape == (4, 1, 7) and rows.dtype == np.float32
    back = to_frame(torch.from_numpy(rows), TABLE)
    assert list(back.columns) == list(TABLE.names)
    assert back["colour"].tolist()[:3] == ["red", "None", "(other)"] and back["colour"].isna().tolist()[3]
    assert back["visits"].tolist() == FRAME["visits"].tolist() and back["visits"].dtype == "Int64"
    assert back["big"].tolist() == FRAME["big"].tolist()
    assert back["height"].tolist()[:2] == [1.83, 0.0] and back["height"][3] == 1.705
    assert (back["born"] == FRAME["born"]).tolist() == [True, True, False, True] and back["born"].isna()[2]
    assert (back["seen"] == FRAME["seen"]).tolist() == [True, True, False, True]
    np.testing.assert_array_equal(from_frame(back, TABLE, "here"), rows)


def test_rows_come_back_as_they_are_stored() -> None:
    """Also of values that nobody wrote, as samples are: what to_frame writes is the same number in single precision."""
    z = torch.randn(5000, 1, 1, generator=torch.Generator().manual_seed(0)) * 10
    for offset, scale in ((0.0, 1.0), (1e6, 3.0), (-2.5, 1e-6), (1e30, 1e29)):
        table = MixedTable((Column("a", "real", offset=offset, scale=scale),))
        np.testing.assert_allclose(from_frame(to_frame(z, table), table, ""), z.numpy(), rtol=2e-7, atol=2e-7)
    whole = MixedTable((Column("n", "integer", offset=5.0, scale=2.0),))
    n = torch.arange(-3.0, 9.0)[:, None, None]
    frame = to_frame(n, whole)
    assert frame["n"].dtype == np.int64 and frame["n"].tolist() == list(range(2, 14))


def test_columns_are_found_by_name_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    shuffled = FRAME[list(reversed(FRAME.columns))].assign(remark="no", weight=7)
    np.testing.assert_array_equal(from_frame(shuffled, TABLE, "mine.csv"), from_frame(FRAME, TABLE, "here"))
    assert "mine.csv: without columns that the density does not have: remark, weight" in capsys.readouterr().err
    given = replace(TABLE, given=2)
    rows = from_frame(FRAME[["smoker", "colour"]], given, "here", given=True)
    assert np.isnan(rows[:, 0, 2:]).all() and rows[0, 0, :2].tolist() == [0, 1]


OTHER_TYPES: dict[str, tuple[str, Any, list[float]]] = {
    "booleans": ("smoker", [True, False], [1, 0]),
    "categories of pandas": ("smoker", pd.Categorical(["true", "false"]), [1, 0]),
    "spaces around": ("smoker", [" true", "false "], [1, 0]),
    "unknown, where others are one level": ("colour", ["blue", "red"], [2, 0]),
    "a level that looks like nothing": ("colour", ["None", np.nan], [1, np.nan]),
    "numbers as text": ("visits", ["4", "?"], [1, np.nan]),
    "whole numbers as floats": ("visits", [4.0, np.nan], [1, np.nan]),
    "dates as text": ("born", ["1970-01-11", "NA"], [-3990, np.nan]),
    "dates of Python": ("born", [pd.Timestamp("1970-01-11").date(), None], [-3990, np.nan]),
    "dates with an offset": ("seen", ["2023-11-14T23:13:20+01:00", "2023-11-14 22:13:20Z"], [0, 0]),
    "dates of a time zone": ("seen", pd.to_datetime(["2023-11-14T23:13:20+01:00"] * 2), [0, 0]),
}


@pytest.mark.parametrize("case", OTHER_TYPES)
def test_other_types_are_read_for_what_they_say(case: str) -> None:
    name, cells, expected = OTHER_TYPES[case]
    table = MixedTable(tuple(column for column in COLUMNS if column.name == name))
    rows = from_frame(pd.DataFrame({name: cells}), table, "here")
    np.testing.assert_array_equal(rows[:, 0, 0], np.array(expected, np.float32))


REFUSED: dict[str, tuple[str, Any, str]] = {
    "unknown category": (
        "smoker",
        ["true", "ture"],
        "row 1, column smoker: unknown category 'ture'; did you mean 'true'",
    ),
    "category like no other": ("smoker", ["x", "true"], "unknown category 'x'; this density knows false, true"),
    "text among numbers": ("visits", ["3", "many"], "row 1, column visits: 'many' is no number"),
    "fraction": ("visits", [1, 2.5], "row 1, column visits: 2.5 is not a whole number"),
    "below the least": ("visits", [1, -4], "row 1, column visits: -4 is below 0"),
    "too far": ("big", [10**12, 5], "row 1, column big: 5 is too far from 1000000000000"),
    "infinite": ("height", [1.0, np.inf], "row 1, column height: 'inf' is no finite number"),
    "beyond single precision": ("height", [1.0, 1e300], "row 1, column height: 1e+300 is too far"),
    "no date": ("born", ["2001-01-01", "01/02/03"], "row 1, column born: '01/02/03' is no date"),
    "no such day": ("born", ["2001-01-01", "2001-02-30"], "'2001-02-30' is no date"),
    "a time of day": ("born", ["2001-01-01", "2001-01-01T12:00"], "2001-01-01T12:00 is not a whole day"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_stored_is_named(case: str) -> None:
    name, cells, message = REFUSED[case]
    table = MixedTable(tuple(column for column in COLUMNS if column.name == name))
    with pytest.raises(UserError) as info:
        from_frame(pd.DataFrame({name: cells}), table, "here")
    assert message in one_line(info)


def test_missing_cells_and_columns_are_named() -> None:
    full = MixedTable((replace(COLUMNS[4], gaps="none"),))
    frame = pd.DataFrame({"height": [1.0, None]}, index=[7, 9])
    with pytest.raises(UserError) as info:
        from_frame(frame, full, "new.csv", place="line")
    assert "new.csv: line 9, column height: a value is missing" in one_line(info)
    assert np.isnan(from_frame(frame, full, "new.csv", holes=True)).sum() == 1
    with pytest.raises(UserError) as info:
        from_frame(frame.rename(columns={"height": "heigth"}), full, "new.csv")
    assert "no column 'height'; did you mean 'heigth'?" in one_line(info)
    with pytest.raises(UserError) as info:
        from_frame(pd.DataFrame([[1, 2]], columns=["height", "height"]), full, "new.csv")
    assert "two columns are named 'height'" in one_line(info)
