"""`run.py anomaly --labels`: which rows are the rare ones, what a score is worth, and what other detectors read."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable, Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.gathered import DISTINCT
from ar_lightning.inference.anomaly.baselines import baselines, prepared
from ar_lightning.inference.anomaly.known import rare_of, read_known
from ar_lightning.inference.anomaly.labelled import labelled, precision_at, worth_of
from ar_lightning.inference.evaluate import evaluate
from ar_lightning.inference.open import open_run
from tests.support.commands import QUICK, run_here

DETECTORS = ["-log p(x)", "IsolationForest", "LocalOutlierFactor", "GaussianMixture"]
MIXED = MixedTable((
    Column("size", "real", offset=2.0, scale=4.0),
    Column("colour", "category", levels=("red", "green", "blue"), gaps="unread"),
    Column("count", "integer", offset=10.0, scale=3.0, lowest=0.0, gaps="unread"),
))  # fmt: skip
CONFIG = {"data": {"name": "table", "missing": ["-9"]}}
MIXED_SPEC = DataSpec((1, 3), None, medium=MIXED)


def usual(n: int, seed: int) -> np.ndarray:
    """Return rows on a line, but for noise; planted ones lie off it, within the range of each column."""
    random = np.random.RandomState(seed)
    along = random.randn(n, 1)
    return np.hstack([along, 3 * along, -along]) + 0.1 * random.randn(n, 3)


def save(path: Path, x: np.ndarray, labels: list[str], names: str = "a,b,c,class") -> Path:
    rows = [",".join([*map(str, row), label]) for row, label in zip(x.tolist(), labels, strict=True)]
    path.write_text("\n".join([*names.split("\n")[:1], *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A density of rows on a line, and beside it `new.csv` with 10 rows off the line among 190."""
    folder = tmp_path_factory.mktemp("labelled")
    save(folder / "train.csv", usual(1500, 0), ["usual"] * 1500)
    x = usual(200, 1)
    x[::20] = np.random.RandomState(2).uniform(-1.5, 1.5, (10, 3)) * [1, 3, 1] * [1, -1, -1]
    save(folder / "new.csv", x, ["odd" if i % 20 == 0 else "usual" for i in range(200)])
    given = [
        "model=rnade", "model.hidden=20", "data=table", f"data.path={folder / 'train.csv'}", "data.drop=[class]",
        "optimizer.lr=1e-2", "trainer.max_epochs=8", "trainer.accelerator=cpu", "tracking.mode=disabled",
        "samples.every=0", f"run_dir={folder / 'run'}",
    ]  # fmt: skip
    assert run_here(*given) == 0
    return folder / "run"


def test_planted_rows_are_found_and_everything_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("anomaly", str(run), "--against", str(run.parent / "new.csv"), "--labels", "class") == 0
    said = capsys.readouterr().out
    assert "'odd' is taken for the rare case, 10 of 200 rows." in said and "precision at 10" in said
    folder = run / "anomaly" / "new-labelled"
    found = json.loads((folder / "anomaly.json").read_text())
    assert (found["rare"], found["rows"], found["rare_rows"], found["trained_on"]) == ("odd", 200, 10, 1200)
    assert list(found["found"]) == DETECTORS
    assert found["found"]["-log p(x)"]["auroc"] > 0.9
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    odd = np.array([row["label"] == "odd" for row in rows])
    assert odd.tolist() == [i % 20 == 0 for i in range(200)] == [row["rare"] == "1" for row in rows]
    for name in DETECTORS:
        score = np.array([float(row[name]) for row in rows])
        pairs = np.sign(score[odd][:, None] - score[~odd])  # the odd row is above, or not
        values = found["found"][name]
        assert values["auroc"] == pytest.approx((pairs.mean() + 1) / 2, abs=1e-6)
        assert values["precision_at_n"] == pytest.approx(odd[np.argsort(-score, kind="stable")[:10]].mean(), abs=1e-6)
        assert name in said and values["settings"] in said
    with Image.open(folder / "curves.png") as image:
        assert min(image.size) > 300


def test_the_score_is_the_likelihood_that_the_density_is_tested_by(run: Path) -> None:
    opened = open_run(run)
    data = opened.data()
    medium = opened.density.spec.medium
    assert isinstance(medium, Table)
    z = data.split("test")[0].numpy()[:, 0].astype(np.float64)
    labels = ["a"] + ["b"] * (len(z) - 1)
    file = save(run.parent / "test.csv", np.array(medium.offset) + np.array(medium.scale) * z, labels)
    found = labelled(str(run), str(file), "class", out=str(run.parent / "own"))
    with found.files["scores"].open(newline="") as scores:
        nll = [float(row["-log p(x)"]) for row in csv.DictReader(scores)]
    assert np.mean(nll) == pytest.approx(evaluate(opened.density, data).nll, rel=1e-4)


def test_labels_and_the_order_of_columns_change_no_score(run: Path) -> None:
    """Only the worth of a score depends on the labels; a Parquet file is read as a CSV is."""
    frame = pd.read_csv(run.parent / "new.csv")
    other = frame.assign(**{"class": np.roll(frame["class"], 1)})[["c", "class", "b", "a"]]
    other.to_parquet(run.parent / "other.parquet")
    first, second = (
        labelled(str(run), str(run.parent / name), "class", out=str(run.parent / name.split(".")[0]))
        for name in ("new.csv", "other.parquet")
    )
    read = [pd.read_csv(found.files["scores"]) for found in (first, second)]
    np.testing.assert_allclose(read[0][DETECTORS], read[1][DETECTORS], rtol=1e-5)
    assert first.found[0].worth.auroc > 0.9 > 0.7 > second.found[0].worth.auroc


def test_a_background_gives_the_ratio(run: Path) -> None:
    against, out = str(run.parent / "new.csv"), str(run.parent / "ratio")
    found = labelled(str(run), against, "class", background=str(run), out=out)
    assert [f.detector for f in found.found][:2] == ["-log p(x)", "likelihood ratio"]
    assert found.found[1].worth.auroc == 0.5  # it is 0 everywhere


def test_rows_of_the_training_are_named_as_such(run: Path) -> None:
    save(run.parent / "train.csv", usual(1500, 0), ["usual", "odd", "usual"] * 500)
    found = labelled(str(run), str(run.parent / "train.csv"), "class", out=str(run.parent / "same"))
    assert any("trained on rows of this very file" in note for note in found.notes)
    assert found.rare == "odd" and 0.4 < found.found[0].worth.auroc < 0.6  # labels that mean nothing


def test_perfect_and_meaningless_scores() -> None:
    odd = np.arange(1000) < 100
    assert worth_of(odd, odd * 1.0) == (1, 1, 1)
    assert worth_of(odd, -1.0 * odd)[0] == 0
    constant = worth_of(odd, np.zeros(1000))
    assert constant == pytest.approx((0.5, 0.1, 0.1))
    chance = worth_of(odd, np.random.RandomState(0).rand(1000))
    assert chance == pytest.approx((0.5, 0.1, 0.1), abs=0.1)


def test_precision_at_n_by_hand() -> None:
    odd, score = np.array([1, 0, 0, 1, 1, 0], bool), np.array([9.0, 8.0, 1.0, 7.0, 0.0, 7.0])
    assert [precision_at(odd, score, n) for n in (1, 2, 4, 6)] == [1, 0.5, 0.5, 0.5]
    assert precision_at(odd, score, 3) == pytest.approx((1 + 0.5) / 3)  # one of two rows of equal score


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--labels", "klass"], "no column 'klass'; did you mean 'class'?"),
        (["--labels", "b"], "'b' is a column of this density"),
        (["--labels", "class", "--rare", "od"], "--rare od: no row has that label; did you mean 'odd'?"),
        (["--labels", "class", "--rare", "12"], "there are 'usual' in 190 rows, 'odd' in 10 rows"),
        (["--labels", "class", "--n", "5"], "leave --n out"),
        (["--rare", "odd"], "give --labels COLUMN"),
        (["--labels", "class", "--against", "three.csv"], "it has 3 values, 'a' in 4 rows, 'b' in 2 rows, 'c' in 2"),
        (["--labels", "class", "--against", "one.csv"], "all rows have one label, 'a'"),
        (["--labels", "class", "--against", "even.csv"], "neither of its values is the rarer one"),
        (["--labels", "class", "--against", "hole.csv"], "line 4, column class: a label is missing"),
        (["--labels", "class", "--against", "narrow.csv"], "no column 'c'"),
        (["--labels", "class", "--against", "new.cvs"], "no such file; --labels takes a file of rows; did you mean"),
        (["--labels", "class", "--against", "noise"], "no such file; --labels takes a file"),
        (["--labels", "class", "--against", "rows.npz"], "holds arrays, whose columns have no names"),
        (["--labels", "class", "--background", "missing"], "no such run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_tells_no_rare_cases_is_one_line(
    args: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, x = run.parent, usual(8, 3)
    save(folder / "three.csv", x, list("aaaabbcc"))
    save(folder / "one.csv", x, list("aaaaaaaa"))
    save(folder / "even.csv", x, list("aaaabbbb"))
    save(folder / "hole.csv", x, ["a", "b", "", *"aaaaa"])
    save(folder / "narrow.csv", x[:, :2], list("aaaaaaab"), "a,b,class")
    np.savez(folder / "rows.npz", data=x)
    against = [] if "--against" in args else ["--against", "new.csv"]
    args = [str(folder / a) if "." in a else a for a in [*args, *against]]
    before = sorted(folder.rglob("*"))
    assert run_here("anomaly", str(run), *args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_densities_of_other_data_have_no_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("model=independent", *QUICK, "samples.completions=false", f"run_dir={tmp_path / 'run'}") == 0
    file = save(tmp_path / "a.csv", usual(3, 0), ["a", "a", "b"])
    capsys.readouterr()
    assert run_here("anomaly", str(tmp_path / "run"), "--against", str(file), "--labels", "class") == 2
    assert "known rare cases are rows of a table" in capsys.readouterr().err


def test_the_rare_label_is_the_rarer_one_or_what_is_asked_for() -> None:
    counts = {"'-1'": 20, "'1'": 3}
    assert rare_of(counts, None, "") == "'1'" == rare_of(counts, "1", "") == rare_of(counts, "'1'", "")
    assert rare_of(counts, "-1", "") == "'-1'"
    assert rare_of({"0": 9, "1": 3, "2": 1}, "1.0", "") == "1"
    with pytest.raises(UserError, match="--rare VALUE"):
        rare_of({"0": 9, "1": 3, "2": 1}, None, "")


def test_labels_in_quotes_without_a_header_are_read_by_number(tmp_path: Path) -> None:
    """As the table mammography has them."""
    file = tmp_path / "a.csv"
    file.write_text("0.5,1.5,'-1'\n0.25,2.5,'-1'\n7.5,-1.5,'1'\n")
    spec = DataSpec((1, 2), None, medium=Table(("x0", "x1"), (0.0, 0.5), (1.0, 2.0)))
    for name in ("x2", "2"):
        known = read_known(file, name, None, spec, CONFIG)
        assert known.rare == "'1'" and known.is_rare.tolist() == [False, False, True]
        assert known.rows.x[:, 0].tolist() == [[0.5, 0.5], [0.25, 1.0], [7.5, -1.0]]


def test_a_mixed_table_is_read_by_names_with_its_holes(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("odd,colour,size,count\nno,blue,6.0,12\nyes,,4.0,-9\nno,red,2.0,10\n")
    known = read_known(file, "odd", None, MIXED_SPEC, CONFIG)
    assert known.is_rare.tolist() == [False, True, False]
    np.testing.assert_array_equal(known.rows.x[:, 0], [[1, 2, 2], [0.5, np.nan, np.nan], [0, 0, 0]])
    file.write_text("odd,colour,size,count\nno,blue,,12\nyes,red,4.0,9\nno,red,2.0,10\n")  # in training all had a size
    assert np.isnan(read_known(file, "odd", None, MIXED_SPEC, CONFIG, holes=True).rows.x[0, 0, 0])
    with pytest.raises(UserError, match="line 2, column size: a value is missing"):
        read_known(file, "odd", None, MIXED_SPEC, CONFIG)


def test_a_category_of_many_codes_is_read_as_text(tmp_path: Path) -> None:
    codes = [f"{i:05d}" for i in range(DISTINCT + 1)]
    file = tmp_path / "a.csv"
    file.write_text("zip,size,odd\n" + "".join(f"{code},{i}.0,{int(i < 9)}\n" for i, code in enumerate(codes)))
    table = MixedTable((Column("zip", "category", levels=tuple(codes)), Column("size", "real")))
    known = read_known(file, "odd", None, DataSpec((1, 2), None, medium=table), CONFIG)
    assert (known.rows.x[:, 0] == np.arange(len(codes))[:, None]).all()


def test_odd_rows_of_a_mixed_table_with_holes_are_found(tmp_path: Path) -> None:
    """Usual rows are large if red and small if blue; each value of an odd one is usual, and together they are not."""
    random = np.random.RandomState(0)
    red = random.rand(1000) < 0.5
    odd = np.arange(1000) % 10 == 9
    size = np.where(red ^ odd, 5, -5) + random.randn(1000)
    frame = pd.DataFrame(
        {"colour": np.where(red, "red", "blue"), "size": size.round(4), "case": np.where(odd, "y", "n")}
    )
    frame.loc[::13, "colour"] = None
    frame[~odd].drop(columns="case").to_csv(tmp_path / "train.csv", index=False)
    frame[:300].to_csv(tmp_path / "new.csv", index=False)
    given = [
        "model=deep_nade", "model.hidden=32", "data=table", f"data.path={tmp_path / 'train.csv'}", "data.batch_size=50",
        "optimizer.lr=1e-2", "trainer.max_epochs=8", "trainer.accelerator=cpu", "tracking.mode=disabled",
        "samples.every=0", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert run_here(*given) == 0
    found = labelled(str(tmp_path / "run"), str(tmp_path / "new.csv"), "case")
    assert found.found[0].worth.auroc > 0.9 and [f.detector for f in found.found] == DETECTORS
    (how,) = [note for note in found.notes if "categories are one-hot" in note]
    assert "missing cells have the median or the most frequent level of their column" in how


def test_detectors_read_categories_one_hot_and_holes_filled() -> None:
    nan = np.nan
    train = np.array([[1.0, 0, 3], [2, 0, nan], [3, 1, 5], [6, nan, 4]], np.float32)
    fit, judge = prepared(train, np.array([[3.0, 2, nan], [3, 0, 4]], np.float32), MIXED)
    spread = np.std([1, 2, 3, 6]), np.std([3, 4, 5, 4])  # the median of the second is 4
    np.testing.assert_allclose(fit[:, 0], (np.array([1, 2, 3, 6]) - 3) / spread[0])
    np.testing.assert_allclose(fit[:, 1], (np.array([3, 4, 5, 4]) - 4) / spread[1])
    np.testing.assert_array_equal(fit[:, 2:], [[1, 0], [1, 0], [0, 1], [1, 0]])  # red is the most frequent
    np.testing.assert_allclose(judge, [[0, 0, 0, 0], [0, 0, 1, 0]])  # blue was in no training row


def test_detectors_are_those_of_scikit_learn(tmp_path: Path) -> None:
    train, test = usual(300, 0), usual(40, 1)
    center, spread = train.mean(0), train.std(0)
    medium = Table(("a", "b", "c"), tuple(center), tuple(spread))
    stored = [((x - center) / spread).astype(np.float32)[:, None] for x in (train, test)]
    found = {b.name: b for b in baselines(*stored, medium)}
    fit, judge = prepared(stored[0][:, 0], stored[1][:, 0], medium)
    mixtures = [GaussianMixture(k, random_state=0).fit(fit) for k in range(1, 11)]
    best = min(mixtures, key=lambda mixture: mixture.bic(fit))
    expected = {
        "IsolationForest": IsolationForest(random_state=0).fit(fit),
        "LocalOutlierFactor": LocalOutlierFactor(novelty=True).fit(fit),
        "GaussianMixture": best,
    }
    assert list(found) == list(expected) == DETECTORS[1:]
    for name, detector in expected.items():
        np.testing.assert_allclose(found[name].scores, -detector.score_samples(judge), rtol=1e-6)
    assert f"BIC: {best.n_components}" in found["GaussianMixture"].settings


def test_a_detector_that_cannot_be_fitted_is_left_out_and_named() -> None:
    train, test = np.zeros((1, 1, 2), np.float32), np.ones((3, 1, 2), np.float32)
    found = {b.name: b for b in baselines(train, test, Table.plain(2))}
    failed = [b for b in found.values() if b.scores is None]
    assert failed and all(b.notes and b.notes[0].startswith(f"{b.name}: could not be fitted") for b in failed)
