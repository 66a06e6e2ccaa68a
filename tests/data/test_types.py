"""Types of columns: told from the cells, the same from text and from numbers, never from what is not there."""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column
from ar_lightning.data.spikes import spikes_of
from ar_lightning.data.types import Found, Wishes, infer_types
from tests.support.files import one_line, real_data

RANDOM = np.random.default_rng(0)
N = 400
PLAIN = Wishes()
COUNTRIES = ["DE", "FR", "IT", "ES", "PL", "NL", "BE", "SE", "NO", "FI", "DK"]


def found(cells: Any, wishes: Wishes = PLAIN, train: int | None = None) -> Found:
    frame = pd.DataFrame({"a": cells})
    return infer_types(frame, np.arange(train or len(frame)), wishes, "mine.csv", "line")[0]


def column(cells: Any, wishes: Wishes = PLAIN, train: int | None = None) -> Column:
    one = found(cells, wishes, train).column
    assert one is not None
    return one


def texts(values: Any) -> list[str]:
    return [str(value) for value in np.asarray(values).tolist()]


KINDS: dict[str, tuple[Any, str]] = {
    "reals": (RANDOM.normal(size=N), "real"),
    "counts": (RANDOM.poisson(20, N), "integer"),
    "whole numbers far from zero": (10**12 + RANDOM.poisson(20, N), "integer"),
    "whole numbers too far from each other": (RANDOM.integers(0, 2**40, N), "real"),
    "few numbers": (RANDOM.integers(0, 5, N), "category"),
    "few numbers, negative": (RANDOM.integers(-2, 2, N) / 2, "category"),
    "few numbers of few rows": (RANDOM.integers(0, 5, 12), "integer"),
    "words": (RANDOM.choice(["low", "high"], N), "category"),
    "words of few rows": (["a", "b", "c"] * 4, "category"),
    "booleans": (RANDOM.choice([True, False], N), "category"),
    "days": (np.datetime64("2020-01-01") + RANDOM.integers(0, 900, N), "date"),
    "times": (np.datetime64("2020-01-01T00:00:01") + RANDOM.integers(0, 9**9, N), "date"),
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds_are_told_from_text_and_from_numbers_alike(case: str) -> None:
    cells, kind = KINDS[case]
    cells = np.asarray(cells)
    native = column(cells.astype("datetime64[s]") if cells.dtype.kind == "M" else cells)
    assert native.kind == kind
    written = [str(day) for day in cells] if cells.dtype.kind == "M" else texts(cells)
    told = column(written)
    assert replace(told, levels=()) == replace(native, levels=()) and len(told.levels) == len(native.levels)
    holed = found([None, "?", "", "NA", *written])
    assert holed.column == replace(told, gaps="unread") and holed.missing == 4


LEFT_OUT: dict[str, tuple[Any, str]] = {
    "constant text": (["x"] * 30, "constant"),
    "constant number": ([3.0] * 30, "constant"),
    "constant but for rounding": ([0.1 + 0.2, 0.3] * 30, "constant"),
    "constant beside holes": (["x", None] * 30, "constant"),
    "empty": ([None] * 30, "empty"),
    "question marks": (["?"] * 30, "empty"),
    "names": ([f"n{i}" for i in range(30)], "text of its own in every row"),
    "nearly all names": ([f"n{i}" for i in range(30)] + ["n1"], "text of its own in most rows"),
    "a counter": (range(1, 31), "counts the rows"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_columns_without_a_distribution_are_left_out(case: str) -> None:
    cells, why = LEFT_OUT[case]
    told = found(cells)
    assert told.column is None and told.why.startswith(why)


def test_years_and_unsorted_numbers_count_no_rows() -> None:
    assert column(range(1990, 2020)).kind == "integer"
    assert column([2, 1, *range(3, 31)]).kind == "integer"


def test_training_rows_alone_place_numbers_and_all_rows_name_levels() -> None:
    one = column([1.5, 2.5, 3.5, 9e9], train=3)
    assert one.offset == pytest.approx(2.5) and one.scale == pytest.approx(np.std([1.5, 2.5, 3.5]))
    assert column(["a", "b", "a", "c"], train=3).levels == ("a", "b", "c")
    assert found(["a", "a", "a", "c"], train=3).why == "constant in the training rows"
    assert found([1, 1, 1, 2.5], train=3).why == "constant in the training rows"
    assert found([None, None, "a", "b"], train=2).why == "empty in the training rows"
    assert column([1, 2, 3, 4.5], train=3).kind == "real"
    assert column([5, 2, 3, -1], train=3).lowest is None and column([5, 2, 3, 1], train=3).lowest == 0


def test_levels_stand_by_their_frequency_and_the_rarest_become_one() -> None:
    cells = ["a"] * 5 + ["b"] * 9 + ["d"] * 3 + ["c"] * 3 + ["(other)"] * 2
    assert column(cells).levels == ("b", "a", "c", "d", "(other)") and not column(cells).other
    told = found(cells, Wishes(max_levels=3))
    assert told.column and told.column.levels == ("b", "a", "(other)") and told.column.other and told.rare == 3
    assert column(cells, Wishes(max_levels=5)).levels == column(cells).levels
    many = found([f"n{i}" for i in range(10_000)] * 2, Wishes(max_levels=10_000))
    assert many.column and len(many.column.levels) == 10_000


def test_numbers_written_in_two_ways_are_one_level() -> None:
    assert column(["1", "1.0", "2", "?"] * 30).levels == ("1", "2")
    assert column(["01", "02"] * 30).levels == ("01", "02")


def test_lists_and_records_are_read_as_their_texts() -> None:
    """As Parquet holds them: levels if there are few, else left out, but no error of a column that nobody asked for."""
    assert column([np.array([1, 2]), [3], None, {"a": 1}] * 9).levels == ("[1 2]", "[3]", "{'a': 1}")
    assert found([[i] for i in range(30)]).why == "text of its own in every row"


def test_numbers_with_zeros_before_them_may_be_codes() -> None:
    """They are numbers unless it is said otherwise, since counts are written so, too; it is said how."""
    cells = [f"{37 * i:05d}" for i in range(60)]
    told, plain = found(cells), found([37 * i for i in range(60)])
    assert told.column == plain.column and plain.why == "whole numbers"
    assert told.why == "whole numbers, with zeros before them; of codes, data.types={a: category}"
    codes = column(cells * 2, Wishes({"a": "category"}))
    assert codes.kind == "category" and set(codes.levels) == set(cells)


def test_missing_values_may_be_a_level() -> None:
    wishes = Wishes(gaps="level")
    assert column(["a", None, "b"] * 3, wishes).gaps == "level" and column([1.5, None, 2.5], wishes).gaps == "level"
    assert column(["a", "b"] * 3, wishes).gaps == "none"
    only = column(["a", None, "a"], wishes)  # whether there is one is all that varies
    assert only.levels == ("a",) and only.gaps == "level"


MARKERS: dict[str, tuple[list[str], int]] = {
    "a sign among signs": ([".", "!", "?", "."] * 9, 0),
    "no word among words": (["yes", "no", "?"] * 9, 9),
    "a word": (["none", "some"] * 9, 0),
    "no number among numbers": (["none", "1.5", "2.5"], 1),
    "what Excel and pandas write among words": (["a", "b", "#N/A", "<NA>"] * 9, 18),
    "Namibia among countries": (["NA", *COUNTRIES] * 9, 0),
    "nothing among two letters": (["NA", "DE", "FR"] * 9, 9),
}


@pytest.mark.parametrize("case", MARKERS)
def test_markers_are_missing_values_only_where_they_are(case: str) -> None:
    cells, missing = MARKERS[case]
    assert found(cells).missing == missing


DATES = ["2024-01-31", "2024-02-01 12:30", "2024-02-01T12:30:05Z", "2024-02-01T12:30:05.5+01:00"]


def test_dates_begin_with_the_year() -> None:
    assert column([DATES[0], "2020-02-29"]).days and not column(DATES).days
    assert column(["2020/01/31", "2020/02/29"]) == column(["2020-01-31", "2020-02-29"])
    for cells in (["01/02/03", "02/02/03"] * 3, ["31.31.2026", "01.02.2026"] * 3, ["2026-02-30", "2026-02-28"] * 3):
        assert column(cells).kind == "category"
        with pytest.raises(UserError) as info:
            found(cells, Wishes({"a": "date"}))
        assert "line 0, column a: " in one_line(info) and "is no date; write dates as 2026-01-31" in one_line(info)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("%d/%m/%Y", "dates, the day first"),
        ("%m/%d/%Y", "dates, the month first"),
        ("%d.%m.%Y %H:%M", "dates, the day first"),
        ("%m-%d-%Y %I:%M:%S %p", "dates, the month first"),
    ],
)
def test_a_day_above_12_tells_whether_days_or_months_come_first(written: str, why: str) -> None:
    """Then all dates are what they are as ISO 8601 has them, also those that could be read either way."""
    dates = [datetime(2019, 12, 28) + timedelta(days=i, minutes=137 * i * (" " in written)) for i in range(60)]
    told = found([date.strftime(written) for date in dates])
    assert told.why == why and told.column is not None and told.column.written == written
    assert replace(told.column, written="") == column([date.isoformat() for date in dates])


def test_dates_of_which_none_tells_stay_text_and_it_is_said() -> None:
    either = [f"{i % 12 + 1}/{(7 * i) % 12 + 1}/{2000 + i}" for i in range(30)]
    many = found(either)
    assert many.column is None
    assert many.why.startswith("text of its own in every row; of dates such as 1/1/2000 the day or the month")
    few = found(either[:3] * 10)
    assert few.column is not None and few.column.kind == "category" and "the month may come first: write" in few.why
    with pytest.raises(UserError) as info:
        found(either, Wishes({"a": "date"}))
    assert "column a: of dates such as 1/1/2000 the day or the month may come first; write" in one_line(info)
    assert found([*either, "13/1/2000", "1/13/2000"]).why == "text of its own in every row"  # no order fits all


ASKED: dict[str, tuple[Any, Any, Any]] = {
    "codes": (["01234", "01235", "1234"], {"a": "category"}, ("01234", "01235", "1234")),
    "reals of few values": (["1", "2"] * 50, {"a": "real"}, "real"),
    "all of one kind": (["1", "2"] * 50, "integer", "integer"),
    "another column": (["1", "2"] * 50, {}, "category"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_the_user_says_is_done(case: str) -> None:
    cells, types, expected = ASKED[case]
    told = found(cells, Wishes(types))
    assert told.column and expected in (told.column.kind, told.column.levels)
    assert (told.why == "data.types") == bool(types)


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "text as a number": (["x", "y"], "real", "column a is text, not numbers; leave it out: data.drop=[a]"),
    "one text": (["1", "low", "3"], {"a": "real"}, "line 1, column a: 'low' is no number, as 2 others are; mend"),
    "fractions": (["1", "2.5", "3"], {"a": "integer"}, "column a is not of whole numbers: line 1 holds 2.5"),
    "numbers as dates": ([1, 2], {"a": "date"}, "'1' is no date"),
    "dates as numbers": (np.array(["2020-01-01", "2020-01-02"], "datetime64[s]"), "real", "column a holds dates"),
    "unknown column": (["1", "2"], {"b": "real"}, "data.types: no column 'b'; choose from a"),
    "one text among many numbers": ([*range(60), "low"], None, "line 60, column a: 'low' is no number, as 60 others"),
    "decimal commas": (["1,5", "2,5"], None, "line 0, column a: '1,5' is no number; write decimals with a point"),
    "thousands": (["1,234", "12", "7,000,001"], None, "'1,234' is no number"),
    "money": (["$5", "$1,250.50"], None, "'$5' is no number; write it as 5"),
    "percent": ([f"{i} %" for i in range(30)], None, "'0 %' is no number; write it as 0"),
    "infinite": ([*map(str, range(20)), "inf"], None, "line 20, column a: 'inf' is no number"),
    "infinite number": ([1.5, np.inf], None, "line 1, column a: 'inf' is no finite number"),
    "underscores": ([*map(str, range(20)), "1_2"], None, "'1_2' is no number"),
    "beyond single precision": (["1.5", "2.5", "1e300"], None, "line 2, column a: 1e+300 is beyond the numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_what_it_should_be_is_named(case: str) -> None:
    cells, types, message = REFUSED[case]
    with pytest.raises(UserError) as info:
        found(cells, Wishes(types))
    assert message in one_line(info)


def test_point_masses_are_values_that_stand_out() -> None:
    smooth = RANDOM.normal(size=950)
    assert spikes_of(np.concatenate([smooth, np.zeros(50)])) == (0.0,)
    assert spikes_of(np.concatenate([smooth, np.zeros(50), np.ones(80), -np.ones(70)])) == (-1.0, 0.0, 1.0)
    for values in (smooth, smooth.round(1), RANDOM.poisson(30, 5000), RANDOM.geometric(0.1, 5000), np.arange(9.0)):
        assert spikes_of(np.asarray(values, float)) == ()
    assert spikes_of(np.repeat([0.25, 1.5, 7.0], 9)) == (0.25, 1.5, 7.0)
    assert len(spikes_of(np.concatenate([smooth, *(np.full(60, v) for v in range(30, 60))]))) <= 20
    for factor in (1e-30, -3.0, 1e30):  # of the numbers' order alone, whatever their unit
        assert len(spikes_of(factor * np.concatenate([smooth, np.zeros(50)]))) == 1


def test_whole_numbers_that_stand_out_among_all_that_could_be() -> None:
    gains = np.concatenate(
        [np.zeros(3000), np.repeat([2174.0, 7688.0, 15024.0, 99999.0], 40), RANDOM.integers(1, 50_000, 300)]
    )
    assert spikes_of(gains, whole=True) == (0.0, 2174.0, 7688.0, 15024.0, 99999.0)
    hours = np.concatenate([np.repeat([30.0, 40.0, 45.0], [300, 2000, 200]), RANDOM.integers(20, 60, 400)])
    assert spikes_of(hours, whole=True) == (30.0, 40.0, 45.0)
    rooms = np.repeat([1, 2, 3, 4, 5], [200, 300, 250, 150, 100])
    for values in (rooms, RANDOM.integers(17, 90, 5000), RANDOM.poisson(30, 5000), RANDOM.geometric(0.1, 5000)):
        assert spikes_of(values.astype(float), whole=True) == ()


def test_point_masses_do_not_place_the_rest() -> None:
    rest = RANDOM.normal(5, 1, 300)
    one = column(np.concatenate([rest, np.zeros(900)]))
    assert one.spikes == (0.0,) and one.offset == pytest.approx(rest.mean()) and one.scale == pytest.approx(rest.std())


@real_data
def test_real_tables_are_what_they_are() -> None:
    folder = Path(os.environ["AR_LIGHTNING_DATA"], "tables")

    def kinds(name: str) -> dict[int, Column | None]:
        frame = pd.read_csv(folder / name, header=None, dtype=str, keep_default_na=False, skipinitialspace=True)
        told = infer_types(frame.set_axis(map(str, frame.columns), axis=1), np.arange(len(frame)), Wishes(), name)
        return {d: one.column for d, one in enumerate(told)}

    adult = kinds("adult-train.csv")
    numbers = {d: one for d, one in adult.items() if one and one.kind == "integer"}
    assert [*numbers] == [0, 2, 4, 10, 11, 12] and all(one and one.lowest == 0 for one in numbers.values())
    assert {d: bool(one.spikes) for d, one in numbers.items()}.items() >= {
        0: True,  # 90 stands for all above it
        2: False,
        10: True,
        11: True,
    }.items()
    assert {0.0, 7688.0, 15024.0, 99999.0} < set(numbers[10].spikes) and 40.0 in numbers[12].spikes
    assert all(one and one.kind == "category" for d, one in adult.items() if d not in numbers)
    assert {one.gaps for d, one in adult.items() if one and d in (1, 6, 13)} == {"unread"}
    assert not any(one.spikes for one in kinds("abalone.csv").values() if one)
    assert sum(bool(one.spikes) for one in kinds("auto_imports.csv").values() if one) <= 3
