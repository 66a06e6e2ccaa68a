"""Mixed tables after a training: shares of the columns, odd cells, holes that are filled, and rows like these."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ar_lightning.config.registry import DATA
from ar_lightning.inference.open import open_run
from ar_lightning.inference.rows import read_table_rows
from ar_lightning.media import mixed
from ar_lightning.media.frames import to_frame
from tests.support.commands import QUICK, result, run_here
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
    return train(tmp_path_factory.mktemp("orderless") / "run", "data.missing=[-9]")


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps in one order, to which a missing cell is a value, and `ward` is given."""
    run = tmp_path_factory.mktemp("ordered") / "run"
    return train(run, "model=made", "model.hidden=8", "data.gaps=level", "data.given=[ward]")


def test_columns_share_the_score(orderless: Path, ordered: Path, tmp_path: Path) -> None:
    """They add up to it, at the end of the training and in `test`; no bits/dim are said of either."""
    for run, names in ((orderless, "ward age dose smoker seen"), (ordered, "age dose smoker seen")):
        trained = result(run)
        assert not [key for key in trained if "bpd" in key]
        assert [share["name"] for share in trained["columns"]] == names.split()
        whole = sum(share["nll"] for share in trained["columns"])
        if trained.get("members", 1) == 1:
            assert whole == pytest.approx(trained["test/nll"], rel=1e-5)
        assert [share["bits"] is not None for share in trained["columns"]] == [
            share["kind"] == "category" for share in trained["columns"]
        ]
        assert run_here("test", str(run), "--out", str(tmp_path / "test.json"), "trainer.accelerator=cpu") == 0
        tested = json.loads((tmp_path / "test.json").read_text())
        assert tested["bpd"] is None and tested["nll"] == pytest.approx(trained["test/nll"], rel=1e-5)
        for share, same in zip(trained["columns"], tested["columns"], strict=True):
            assert share["nll"] == pytest.approx(same["nll"], rel=1e-4, abs=1e-6) and share["cells"] == same["cells"]
        assert "test/nll/age" in (run / "metrics.csv").read_text().splitlines()[0]


def test_cells_that_are_missing_are_not_counted(orderless: Path, ordered: Path) -> None:
    """Where missing is a value, all are counted."""
    opened = open_run(orderless)
    x = opened.data().split("test")[0]
    cells = {share["name"]: share["cells"] for share in result(orderless)["columns"]}
    assert cells["age"] == int((~x[:, 0, 1].isnan()).sum()) < cells["dose"] == len(x) == 20
    assert {share["cells"] for share in result(ordered)["columns"]} == {20}
    density = opened.density
    with torch.no_grad():
        terms = -density.terms(x)[:, 0].double()
    share = next(share for share in result(orderless)["columns"] if share["name"] == "age")
    assert share["nll"] == pytest.approx(float(terms[:, 1].mean()), rel=1e-4)


def test_samples_while_training_have_given_values_of_the_data(ordered: Path) -> None:
    drawn = pd.read_csv(ordered / "samples" / "final.csv", keep_default_na=False)
    assert list(drawn.columns) == ["age", "ward", "dose", "smoker", "seen"] and len(drawn) == 4
    opened = open_run(ordered)
    x = opened.data().split("test", 4)[0]
    levels = np.array(opened.density.spec.medium.columns[0].levels)  # type: ignore[union-attr]
    assert drawn["ward"].tolist() == levels[x[:, 0, 0].long()].tolist()


def test_compare_sets_them_side_by_side_in_nats(orderless: Path, ordered: Path, tmp_path: Path) -> None:
    assert run_here("compare", str(orderless), str(ordered), "--out", str(tmp_path / "c")) == 0
    table = (tmp_path / "c" / "table.md").read_text()
    assert "nats" in table and "bits/dim" not in table
    assert "p(x | the column ward)" in table.replace("\\|", "|")  # which no other run is comparable to


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that answers bad input."""
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1 and errors[0].startswith("error: ")
    return errors[0]


def written(run: Path, file: Path, split: str = "test", **more: list[object]) -> pd.DataFrame:
    """Write rows of the run's own data as a user has them, and return them as text."""
    opened = open_run(run)
    x = opened.data().split(split)[0]
    frame = to_frame(x, opened.density.spec.medium).assign(**more)  # type: ignore[arg-type]
    frame.to_csv(file, index=False)
    return pd.read_csv(file, dtype=str, keep_default_na=False)


@pytest.mark.parametrize("name", ["orderless", "ordered"])
def test_score_by_column(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Rows are scored as the run's own data are, whatever the order of the columns; cells are of the density."""
    run = request.getfixturevalue(name)
    rows = written(run, tmp_path / "rows.csv", more=[1] * 20)
    rows[rows.columns[::-1]].to_csv(tmp_path / "reversed.csv", index=False)
    out = tmp_path / "s.csv"
    assert (
        run_here("score", str(run), "--data", str(tmp_path / "reversed.csv"), "--by", "column", "--out", str(out)) == 0
    )
    found = pd.read_csv(out)
    given = "others" if name == "orderless" else "before"
    scored = ["ward", "age", "dose", "smoker", "seen"][int(name == "ordered") :]
    assert list(found.columns) == ["index", "nats", *(f"-log p({column} | {given})" for column in scored)]
    assert (tmp_path / "s-oddest.png").is_file()
    opened = open_run(run)
    density, x = opened.density, opened.data().split("test")[0]
    np.testing.assert_allclose(found["nats"], density.log_prob(x).detach(), rtol=1e-4, atol=1e-4)
    cells = found[found.columns[2:]].to_numpy()
    empty = rows[scored].to_numpy() == ""
    if name == "ordered":  # missing is a value
        assert not np.isnan(cells).any()
        np.testing.assert_allclose(cells.sum(1), -found["nats"], rtol=1e-4, atol=1e-4)
        return
    assert (np.isnan(cells) == empty).all() and empty.any()
    for d in range(5):
        mask = torch.ones(1, 5, dtype=torch.bool)
        mask[0, d] = False
        with torch.no_grad():
            exact = -density.conditional_log_prob(x, mask)  # type: ignore[operator]
        np.testing.assert_allclose(np.nan_to_num(cells[:, d]), exact, rtol=1e-3, atol=1e-4)


def test_by_column_is_for_mixed_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert run_here("--config", "conf/independent.yaml", *QUICK, f"run_dir={run}") == 0
    assert run_here("score", str(run), "--by", "column", "--out", str(tmp_path / "s.csv")) == 2
    assert "--by column: is for tables of mixed columns" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_holes_are_filled(orderless: Path, tmp_path: Path) -> None:
    """By the most likely values; what is there stays as it is written, with columns that the density does not know."""
    rows = written(orderless, tmp_path / "rows.csv", name=[f"0{i}" for i in range(20)])
    rows.loc[0, "ward"] = rows.loc[1, "seen"] = rows.loc[1, "dose"] = ""
    rows.loc[2, "dose"] = "1.250"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    options = ["--input", str(tmp_path / "rows.csv"), "--n", "3", "--out", str(tmp_path / "filled.csv")]
    assert run_here("complete", str(orderless), *options) == 0
    filled, draws, spread = (
        pd.read_csv(tmp_path / f"filled{end}.csv", dtype=str, keep_default_na=False)
        for end in ("", "-draws", "-spread")
    )
    holes = rows.to_numpy() == ""
    assert list(filled.columns) == list(rows.columns)
    assert (filled.to_numpy()[~holes] == rows.to_numpy()[~holes]).all() and not (filled.to_numpy() == "").any()
    assert len(spread) == holes.sum() and list(spread.columns) == ["index", "column", "filled", "5%", "95%", "share"]
    for _, line in spread.iterrows():
        assert filled.loc[int(line["index"]), line["column"]] == line["filled"]
        if line["column"] == "age":
            assert int(line["5%"]) <= int(line["filled"]) <= int(line["95%"])
        if line["column"] == "ward":
            assert line["5%"] == "" and float(line["share"]) >= 1 / 3
    assert [*draws] == ["index", "draw", "age", "ward", "dose", "smoker", "seen"]  # as the data has them
    incomplete = np.flatnonzero(holes.any(1))
    assert draws["index"].astype(int).tolist() == np.repeat(incomplete, 3).tolist()
    assert draws["draw"].tolist() == ["0", "1", "2"] * len(incomplete)
    assert not (draws.to_numpy() == "").any()
    assert (draws.loc[draws["index"] == "0", "age"] == rows.loc[0, "age"]).all() or rows.loc[0, "age"] == ""
    assert set(draws.loc[draws["index"] == "1", "seen"].str.len()) == {10}  # dates are dates


def test_draws_are_of_the_density(orderless: Path, tmp_path: Path) -> None:
    """Frequencies of a level that is filled are its conditional probability."""
    rows = written(orderless, tmp_path / "rows.csv")
    rows.loc[2, "smoker"] = ""
    rows.iloc[[2]].to_csv(tmp_path / "one.csv", index=False)
    options = ["--input", str(tmp_path / "one.csv"), "--n", "2000", "--out", str(tmp_path / "f")]
    assert run_here("complete", str(orderless), *options) == 0
    opened = open_run(orderless)
    x = torch.from_numpy(read_table_rows(tmp_path / "one.csv", opened.density.spec, holes=True).x).repeat(2, 1, 1)
    x[:, 0, 3] = torch.arange(2.0)
    with torch.no_grad():
        p = opened.density.given_others(x)[1, 0, 3].exp().item()  # type: ignore[operator]
    frequency = (pd.read_csv(tmp_path / "f-draws.csv")["smoker"] == "yes").mean()
    assert abs(frequency - p) < 4 * (p * (1 - p) / 2000) ** 0.5


def test_an_order_fills_what_comes_last(ordered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a value that is there, where missing is a value too; else one line says what its order is."""
    rows = written(ordered, tmp_path / "rows.csv")
    rows[rows == ""] = {"age": "50", "smoker": "no"}["age"]
    rows["smoker"] = "no"
    order = [int(d) for d in open_run(ordered).density.model.orders[0]]
    last, before = rows.columns[order[-1]], rows.columns[order[-2]]
    rows.loc[4, last] = ""
    rows.to_csv(tmp_path / "rows.csv", index=False)
    command = ("complete", str(ordered), "--input", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "f"))
    assert run_here(*command) == 0
    assert not pd.read_csv(tmp_path / "f.csv")[last].isna().any()
    rows.loc[5, before] = ""
    rows.to_csv(tmp_path / "rows.csv", index=False)
    capsys.readouterr()
    assert run_here(*command) == 2
    assert f"line 7, column {before}: does not come last in the order" in said(capsys)


def test_what_cannot_be_filled(
    orderless: Path, ordered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(orderless, tmp_path / "rows.csv")
    whole = rows[(rows != "").all(axis=1)]
    whole.to_csv(tmp_path / "whole.csv", index=False)
    rows.assign(ward="west").to_csv(tmp_path / "west.csv", index=False)
    rows.assign(ward="").to_csv(tmp_path / "no ward.csv", index=False)
    rows.drop(columns="dose").to_csv(tmp_path / "narrow.csv", index=False)
    for run, name, why in (
        (orderless, "whole", "no cell is missing, so there is nothing to fill"),
        (orderless, "west", "line 2, column ward: unknown category 'west'"),
        (orderless, "narrow", "no column 'dose'"),
        (orderless, "nowhere", "no such file"),
        (ordered, "no ward", "line 2, column ward: is missing, and this density is given that column"),
    ):
        capsys.readouterr()
        assert (
            run_here("complete", str(run), "--input", str(tmp_path / f"{name}.csv"), "--out", str(tmp_path / "f")) == 2
        )
        assert why in said(capsys)
    assert run_here("complete", str(orderless), "--input", "data:test", "--mask", "left") == 2
    assert "--mask left: a table is completed where its cells are missing" in capsys.readouterr().err
    assert not list(tmp_path.glob("f*"))
    assert run_here("complete", str(orderless), "--input", "data:test", "--n", "2", "--out", str(tmp_path / "g")) == 0


def test_samples_have_given_columns(ordered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file, in turn, whatever else is in it; or of the test split, which is said."""
    pd.DataFrame({"note": ["a", "b"], "ward": ["east", "north"]}).to_csv(tmp_path / "given.csv", index=False)
    command = ["sample", str(ordered), "--n", "5", "--out", str(tmp_path / "s.csv")]
    assert run_here(*command, "--given", str(tmp_path / "given.csv")) == 0
    drawn = pd.read_csv(tmp_path / "s.csv")
    assert drawn["ward"].tolist() == ["east", "north", "east", "north", "east"]
    assert [*drawn] == ["age", "ward", "dose", "smoker", "seen"]  # its place in the data, though it comes first
    assert "given ward of 2 rows" in capsys.readouterr().err
    assert run_here(*command) == 0
    assert "given ward of rows of the test split" in capsys.readouterr().err
    pd.DataFrame({"note": ["a", "b"], "ward": ["east", ""]}).to_csv(tmp_path / "given.csv", index=False)
    assert run_here(*command, "--given", str(tmp_path / "given.csv")) == 2
    assert "line 3, column ward: a value is missing" in said(capsys)


def test_given_is_refused_where_nothing_is(orderless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "given.csv").write_text("ward\neast\n")
    assert run_here("sample", str(orderless), "--given", str(tmp_path / "given.csv")) == 2
    assert "this density is given no columns or vectors" in said(capsys)


def test_cells_that_are_there_can_be_asked_for(ordered: Path) -> None:
    """Where missing is a value: levels then have their probabilities among themselves."""
    opened = open_run(ordered)
    density = opened.density
    known = opened.data().split("test", 1)[0].repeat(4000, 1, 1)
    mask = density.given_mask(4000)

    def smokers() -> torch.Tensor:
        drawn = density.sample(4000, known=known, mask=mask, generator=torch.Generator().manual_seed(0))
        assert not drawn[:, 0, [2, 4]].isnan().any()
        return drawn[:, 0, 3]

    free = smokers()
    with density.likelihood.without_gaps():  # type: ignore[operator]
        there = smokers()
    p = (free == 1).double().sum() / (~free.isnan()).sum()
    assert free.isnan().any() and not there.isnan().any()
    assert abs((there == 1).double().mean() - p) < 0.05
    assert smokers().isnan().any()


@pytest.mark.parametrize("against", ["noise", "constant", "rows.csv"])
@pytest.mark.parametrize("name", ["orderless", "ordered"])
def test_anomaly(name: str, against: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Outliers are rows that the density can take; a background of independent columns scores holes as it does."""
    run = request.getfixturevalue(name)
    written(run, tmp_path / "rows.csv", "valid")
    other = str(tmp_path / against) if "." in against else against
    assert run_here("anomaly", str(run), "--against", other, "--n", "10", "--out", str(tmp_path / "a")) == 0
    found = pd.read_csv(tmp_path / "a" / "scores.csv")
    assert len(found) == 20 and np.isfinite(found.drop(columns="set").to_numpy()).all()


def test_outliers_of_a_file_have_the_holes_that_its_scores_have(
    orderless: Path, ordered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands for a missing cell is that of the training; a model of one order needs all that had no holes."""
    written(orderless, tmp_path / "rows.csv", "valid")
    rows = pd.read_csv(tmp_path / "rows.csv", dtype=str)
    rows.loc[:4, "dose"] = "-9"
    rows.to_csv(tmp_path / "marked.csv", index=False)
    marked = str(tmp_path / "marked.csv")
    assert run_here("anomaly", str(orderless), "--against", marked, "--out", str(tmp_path / "a")) == 0
    assert run_here("score", str(orderless), "--data", marked, "--out", str(tmp_path / "s.csv")) == 0
    found = pd.read_csv(tmp_path / "a" / "scores.csv").query("set == 'outliers'")["likelihood"]
    np.testing.assert_allclose(found, -pd.read_csv(tmp_path / "s.csv")["nats"], rtol=1e-5)
    rows.replace("-9", "").to_csv(tmp_path / "holed.csv", index=False)
    assert run_here("anomaly", str(ordered), "--against", str(tmp_path / "holed.csv")) == 2
    assert "line 2, column dose: a value is missing; mend or remove that row" in said(capsys)


def test_features_beside_raw_cells_with_holes(orderless: Path, tmp_path: Path) -> None:
    assert run_here("features", str(orderless), "--out", str(tmp_path / "f")) == 0
    assert (tmp_path / "f" / "embedding.png").is_file()
