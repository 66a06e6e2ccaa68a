"""`load_table`: a density over rows takes and gives pandas frames, and says of them what the commands say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning import TableDensity, load, load_table
from ar_lightning.config.registry import DATA
from ar_lightning.core.errors import UserError
from ar_lightning.inference.open import open_run
from ar_lightning.media import mixed
from ar_lightning.media.frames import in_file_order, to_frame
from tests.support.commands import QUICK, run_here
from tests.support.mixed import train


@pytest.fixture(scope="module", autouse=True)
def patients() -> Iterator[None]:
    """A dataset by its name, whose samples have no pictures: they take longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATA, "patients", "tests.support.mixed:Patients")
        patch.setattr(mixed, "PICTURES", {})
        yield


@pytest.fixture(scope="module")
def orderless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps that reads no missing cell."""
    return train(tmp_path_factory.mktemp("orderless") / "run")


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps in one order, to which a missing cell is a value, and `ward` is given."""
    run = tmp_path_factory.mktemp("ordered") / "run"
    return train(run, "model=made", "model.hidden=8", "model.order=raster", "data.gaps=level", "data.given=[ward]")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on p(row | label)."""
    run = tmp_path_factory.mktemp("labelled") / "run"
    return train(run, "data.classes=true", "model.conditional=true")


def rows_of(run: Path) -> pd.DataFrame:
    """The test rows of a run, under names of their own."""
    opened = open_run(run)
    frame = to_frame(opened.data().split("test")[0], opened.density.spec.medium)  # type: ignore[arg-type]
    return frame.set_axis([f"patient {i}" for i in range(len(frame))])


@pytest.mark.parametrize("name", ["orderless", "ordered"])
def test_scores_are_those_of_the_command(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of rows and of cells, missing ones among them, whatever the order of the columns."""
    run = request.getfixturevalue(name)
    table, rows = load_table(run), rows_of(run)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "s.csv"
    assert run_here("score", str(run), "--data", str(tmp_path / "rows.csv"), "--by", "column", "--out", str(out)) == 0
    said = pd.read_csv(out)
    found = table.log_prob(rows[rows.columns[::-1]].assign(more=1))
    assert found.index.equals(rows.index)
    np.testing.assert_allclose(found, said["nats"], rtol=1e-4, atol=1e-4)
    cells = table.cells(rows[rows.columns[::-1]])
    assert cells.index.equals(rows.index) and [*cells.columns] == [column.name for column in table.columns]
    given = table.table.given
    np.testing.assert_allclose(cells.iloc[:, given:], said.iloc[:, 2:], rtol=1e-3, atol=1e-3)
    assert cells.iloc[:, :given].isna().all(axis=None)
    assert rows.isna().to_numpy().any() and (name == "ordered" or (cells.isna() == rows.isna()).all(axis=None))


def test_of_an_order_cells_add_up_to_the_row(ordered: Path) -> None:
    table, rows = load_table(ordered), rows_of(ordered)
    np.testing.assert_allclose(table.cells(rows).sum(axis=1), -table.log_prob(rows), rtol=1e-4, atol=1e-4)


def test_rows_that_are_drawn_come_back(orderless: Path) -> None:
    """They are those of the command, and are scored as they were drawn."""
    table = load_table(orderless)
    drawn = table.sample(300, seed=5)
    x = table.density.sample(300, generator=torch.Generator().manual_seed(5))
    assert drawn.equals(in_file_order(to_frame(x, table.table), table.table))
    with torch.no_grad():
        np.testing.assert_allclose(table.log_prob(drawn), table.density.log_prob(x), rtol=1e-3, atol=1e-3)
    assert drawn.equals(table.sample(300, seed=5)) and not drawn.equals(table.sample(300, seed=6))
    assert [drawn[name].dtype.kind for name in ("age", "dose", "seen")] == ["i", "f", "M"]
    assert table.complete(drawn).equals(drawn)  # nothing is missing


def test_samples_have_cells_that_are_given(orderless: Path, ordered: Path, tmp_path: Path) -> None:
    given = pd.DataFrame({"ward": ["east", "north"]})
    drawn = load_table(ordered).sample(5, given)
    assert drawn["ward"].tolist() == ["east", "north", "east", "north", "east"]
    given.to_csv(tmp_path / "given.csv", index=False)
    command = ["sample", str(ordered), "--n", "5", "--given", str(tmp_path / "given.csv")]
    assert run_here(*command, "--out", str(tmp_path / "s.csv")) == 0
    drawn.to_csv(tmp_path / "drawn.csv", index=False)
    assert (tmp_path / "drawn.csv").read_text() == (tmp_path / "s.csv").read_text()
    drawn = load_table(orderless).sample(4, pd.DataFrame({"age": [30, None], "smoker": ["yes", "no"]}))
    assert drawn["age"].tolist()[::2] == [30, 30] and drawn["smoker"].tolist() == ["yes", "no"] * 2
    assert not drawn.isna().any(axis=None) and [*drawn] == ["age", "ward", "dose", "smoker", "seen"]


def test_what_samples_are_given_bears_on_them(orderless: Path) -> None:
    """Frequencies of a level given the others are the density's conditional probability."""
    table = load_table(orderless)
    row = table.sample(1)
    both = pd.concat([row.assign(smoker=level) for level in ("no", "yes")])
    p = np.exp(-table.cells(both)["smoker"].to_numpy())
    assert p.sum() == pytest.approx(1, rel=1e-3)
    drawn = table.sample(2000, row.drop(columns="smoker"))
    assert abs((drawn["smoker"] == "yes").mean() - p[1]) < 4 * (p.prod() / 2000) ** 0.5


def test_holes_are_filled_as_the_command_fills_them(orderless: Path, tmp_path: Path) -> None:
    table, rows = load_table(orderless), rows_of(orderless)
    rows.loc["patient 0", ["ward", "dose"]] = None
    rows.loc["patient 1", "seen"] = pd.NaT
    rows.to_csv(tmp_path / "rows.csv", index=False)
    command = ["complete", str(orderless), "--input", str(tmp_path / "rows.csv"), "--n", "3", "--seed", "2"]
    assert run_here(*command, "--out", str(tmp_path / "f")) == 0
    filled, draws, spread = table.fill(rows, n=3, seed=2)
    holes = rows.isna()
    for end, part in (("", filled), ("-draws", draws), ("-spread", spread)):
        said = pd.read_csv(tmp_path / f"f{end}.csv")
        part.to_csv(tmp_path / "part.csv", index=False)
        assert pd.read_csv(tmp_path / "part.csv").equals(said[[*part.columns]])
    assert filled.index.equals(rows.index) and not filled.isna().any(axis=None)
    for name in rows:
        assert filled.loc[~holes[name], name].tolist() == rows.loc[~holes[name], name].tolist()
    assert filled["seen"].dtype == rows["seen"].dtype and filled["dose"].dtype == float
    assert draws.index.names == [None, "draw"] and len(draws.loc["patient 0"]) == 3
    assert spread.loc[("patient 0", "ward"), "filled"] == filled.loc["patient 0", "ward"]
    assert len(spread) == holes.to_numpy().sum() and spread["share"].between(0.01, 1).all()
    once = table.complete(rows, seed=2)
    assert not once.isna().any(axis=None)
    for name in rows:
        assert once.loc[~holes[name], name].tolist() == rows.loc[~holes[name], name].tolist()


def test_what_is_filled_is_written_as_the_frame_has_it(orderless: Path) -> None:
    """A column keeps its type, its name and its place; dates in a zone stay there."""
    table = load_table(orderless)
    rows = table.sample(40).assign(note=range(40))
    rows["ward"] = rows["ward"].astype("category")
    rows["age"] = rows["age"].astype("Int64")
    rows["seen"] = rows["seen"].dt.tz_localize("UTC").dt.tz_convert("UTC")
    holed = rows.copy()
    holed.iloc[::2, 0] = holed.iloc[1::2, 1] = holed.iloc[::3, 4] = None
    once = table.complete(holed)
    assert [*once] == [*rows] and once["ward"].dtype == rows["ward"].dtype and once["seen"].dtype == rows["seen"].dtype
    assert once["age"].dtype.kind == "i" and once["note"].equals(rows["note"]) and not once.isna().any(axis=None)
    assert (once["seen"].dt.normalize() == once["seen"]).all()


def test_levels_that_are_numbers_stay_numbers(tmp_path: Path) -> None:
    """Also those that a frame does not have."""
    g = np.random.RandomState(0)
    frame = pd.DataFrame({"stars": g.randint(1, 4, 80), "vip": g.rand(80) < 0.5, "paid": g.randn(80).round(3)})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    settings = [f"data.path={tmp_path / 'mine.csv'}", "data.types={stars: category}", "data.batch_size=20"]
    run = ("model=deep_nade", "model.hidden=8", "data=table", *settings, *QUICK, f"run_dir={tmp_path / 'run'}")
    assert run_here(*run) == 0
    table = load_table(tmp_path / "run")
    assert [column.kind for column in table.columns] == ["category", "category", "real"]
    holed = frame.astype({"stars": float, "vip": object})
    holed.loc[::2, ["stars", "vip"]] = np.nan
    once = table.complete(holed)
    assert once["stars"].dtype.kind in "if" and set(once["stars"]) == {1, 2, 3} and once["vip"].dtype == bool
    one = holed.loc[holed["stars"].isna() | (holed["stars"] == 2)]
    assert set(table.complete(one)["stars"]) == {1, 2, 3}


def test_a_label_is_a_column(labelled: Path) -> None:
    table = load_table(labelled)
    drawn = table.sample(6)
    assert drawn["label"].tolist() == ["ill", "well"] * 3
    assert [*drawn.columns] == ["age", "ward", "label", "dose", "smoker", "seen"]  # as they are written
    x = open_run(labelled).data().split("test")[0]
    rows = to_frame(x, table.table)
    with torch.no_grad():
        for number, label in enumerate(("ill", "well")):
            exact = table.density.log_prob(x, torch.full((len(x),), number))
            np.testing.assert_allclose(table.log_prob(rows.assign(label=label)), exact, rtol=1e-4, atol=1e-4)
    assert table.sample(3, pd.DataFrame({"label": ["well"], "ward": ["east"]}))["label"].tolist() == ["well"] * 3
    with pytest.raises(UserError, match="frame: no column 'label'"):
        table.log_prob(rows)
    with pytest.raises(UserError, match="row 0, column label: unknown class 'better'"):
        table.log_prob(rows.assign(label="better"))


def test_the_command_draws_all_classes_in_turn_and_says_so(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", str(labelled), "--n", "6", "--out", str(tmp_path / "s.csv")]
    assert run_here(*command) == 0 and "as many rows of each class of label" in capsys.readouterr().err
    drawn = pd.read_csv(tmp_path / "s.csv")
    assert drawn["label"].tolist() == ["ill", "well"] * 3
    assert [*drawn] == ["age", "ward", "label", "dose", "smoker", "seen"]
    assert [*pd.read_csv(labelled / "samples" / "final.csv")] == [*drawn]  # those of the training, too
    assert run_here(*command, "--cond", "well") == 0 and "each class" not in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "s.csv")["label"].tolist() == ["well"] * 6


def test_errors_name_row_and_column(orderless: Path, ordered: Path) -> None:
    table, rows = load_table(orderless), rows_of(orderless)
    for changed, why in (
        (rows.assign(ward="west"), "frame: row patient 0, column ward: unknown category 'west'"),
        (rows.assign(age=1.5), "frame: row patient 0, column age: 1.5 is not a whole number"),
        (rows.assign(dose=["high", *rows["dose"][1:]]), "frame: row patient 0, column dose: 'high' is no number"),
        (rows.drop(columns="dose"), "frame: no column 'dose'"),
        (rows.rename(columns={"dose": "doses"}), "no column 'dose'; did you mean 'doses'?"),
        (rows.assign(ward=None).ward, "expected a pandas DataFrame, got Series"),
    ):
        for method in (table.log_prob, table.cells, table.complete, table.fill):
            with pytest.raises(UserError) as error:
                method(changed)
            assert why in str(error.value) and "\n" not in str(error.value)
    for given, why in (
        (pd.DataFrame({"wards": ["east"]}), "no column 'wards' in the density; did you mean 'ward'?"),
        (pd.DataFrame({"ward": []}), "given: expected a pandas DataFrame with rows"),
    ):
        with pytest.raises(UserError, match=why.replace("?", r"\?")):
            table.sample(2, given)
    with pytest.raises(UserError, match="n=0"):
        table.sample(0)
    holed = rows_of(ordered).assign(smoker="no", age=50)
    holed.loc["patient 3", "age"] = None
    with pytest.raises(UserError, match="row patient 3, column age: does not come last in the order"):
        load_table(ordered).complete(holed)
    with pytest.raises(UserError, match="row patient 0, column ward: a value is missing"):
        load_table(ordered).log_prob(holed.assign(ward=None))
    with pytest.raises(UserError, match="this density is given ward"):
        load_table(ordered).sample(2)
    with pytest.raises(UserError, match="no column 'ward', which this density is given"):
        load_table(ordered).sample(2, pd.DataFrame({"age": [3]}))


def test_no_rows(orderless: Path) -> None:
    table = load_table(orderless)
    none = table.sample(1).iloc[:0]
    assert table.log_prob(none).shape == (0,) and table.cells(none).shape == (0, 5)
    assert table.complete(none).shape == (0, 5) and [len(part) for part in table.fill(none)] == [0, 0, 0]


@pytest.mark.parametrize("units", ["original", "standardised"])
def test_a_table_of_real_values(units: str, tmp_path: Path) -> None:
    """Frames are of floats in the units of the columns; of cells the density has no reading of its own."""
    g = np.random.RandomState(0)
    frame = pd.DataFrame(g.randn(80, 3) * [1, 10, 0.1] + [5, -3, 1000], columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    settings = ["data=table", f"data.path={tmp_path / 'mine.csv'}", f"data.units={units}", "data.batch_size=20"]
    run = tmp_path / "run"
    assert run_here("model=deep_nade", "model.hidden=8", "data.types=real", *settings, *QUICK, f"run_dir={run}") == 0
    table = load_table(run)
    command = ["score", str(run), "--data", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "s.csv")]
    assert run_here(*command) == 0
    said = pd.read_csv(tmp_path / "s.csv")["nats"]
    np.testing.assert_allclose(table.log_prob(frame[["c", "a", "b"]]), said, rtol=1e-4, atol=1e-4)
    holed = frame.copy()
    holed.loc[3, "b"] = np.nan
    once = table.complete(holed)
    assert once.drop(index=3).equals(frame.drop(index=3)) and once.loc[3, ["a", "c"]].equals(frame.loc[3, ["a", "c"]])
    assert np.isfinite(once.loc[3, "b"]) and once.loc[3, "b"] != frame.loc[3, "b"]
    with pytest.raises(UserError, match="row 3, column b: a value is missing"):
        table.log_prob(holed)
    cells = table.cells(frame)
    x = torch.from_numpy(table._rows(frame).x)
    mask = torch.tensor([[True, True, False]])
    exact = -table.density.conditional_log_prob(x, mask).detach()  # type: ignore[operator]
    unit = np.log(table.columns[2].scale) if units == "original" else 0.0
    np.testing.assert_allclose(cells["c"], exact + unit, rtol=1e-3, atol=1e-3)
    drawn = table.sample(200)
    assert [dtype.kind for dtype in drawn.dtypes] == ["f"] * 3 and abs(drawn["c"].mean() - 1000) < 10
    given = table.sample(5, frame.loc[:1, ["c"]])
    assert given["c"].to_numpy() == pytest.approx(frame["c"][[0, 1, 0, 1, 0]].to_numpy(), rel=1e-6)


def test_what_is_no_table(tmp_path: Path) -> None:
    assert run_here("--config", "conf/independent.yaml", *QUICK, f"run_dir={tmp_path / 'run'}") == 0
    with pytest.raises(UserError, match=r"run: is no density of a table, but of 1x8x8 .*; take ar_lightning.load"):
        load_table(tmp_path / "run")


def test_it_says_what_its_columns_are(ordered: Path) -> None:
    table = load_table(ordered)
    assert isinstance(table, TableDensity) and table.density.spec == load(ordered).spec
    lines = repr(table).splitlines()
    assert lines[0].startswith("TableDensity: Density p(x) = ")
    assert [line.split()[0] for line in lines[-6:]] == ["column", "ward", "age", "dose", "smoker", "seen"]
    assert "category, given" in lines[-5] and "3: north, south, east" in lines[-5]
    assert "0 and above, missing is a value" in lines[-4] and "often 0" in lines[-3] and "about 2022-01-08" in lines[-1]
