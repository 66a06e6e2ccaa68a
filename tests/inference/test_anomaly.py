"""`run.py anomaly`: what each score is, outliers in every medium, and the likelihood's known failure."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Split
from ar_lightning.inference.anomaly.anomaly import anomaly
from ar_lightning.inference.anomaly.outliers import _changes, fitted_levels, outliers, own_examples
from ar_lightning.inference.anomaly.scores import code_bits, independent_nll, metrics_of, scores_of
from ar_lightning.inference.evaluate import evaluate
from ar_lightning.inference.open import open_run
from tests.support.commands import QUICK, run_here

SMALL_WAVENET = ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones"]
RUNS = {
    "nade": ["model=nade", "model.hidden=8"],
    "binary": ["model=pixelcnn", "model.hidden=4", "model.layers=1", "model.head=4", "data.levels=2"],
    "conditional": ["model=gated_pixelcnn", "model.hidden=6", "model.layers=1", "model.conditional=true"],
    "noisy": ["model=nade", "model.hidden=8", "data.dequantise=true"],
    "sound": [*SMALL_WAVENET, "model.conditional=true"],
    "melody": [*SMALL_WAVENET, "model.local=true", "data.melody=true"],
    "table": ["model=rnade", "model.hidden=8", "data=wine", "data.batch_size=7"],
    "text": ["model=rnn", "model.hidden=8", "data=text", "data.stream=true", "data.batch_size=5", "data.length=16"],
    "independent": ["model=independent"],
}
PICTURES = ("nade", "binary", "conditional", "noisy")
NONE = Split(np.zeros((0, 1, 8, 8)))  # training and own examples, where they are not looked at
SCORES = ["likelihood", "likelihood_ratio", "complexity", "typicality"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text("do re mi fa sol la ti do\n" * 60)
    for name, given in RUNS.items():
        where = [f"data.path={folder / 'song.txt'}"] if name == "text" else []
        assert run_here(*given, *where, *QUICK, "samples.completions=false", f"run_dir={folder / name}") == 0
    images = load_digits().images
    np.savez(folder / "digits.npz", test=images[:30], test_labels=load_digits().target[:30])
    images[7, 1, 1] = np.nan
    np.savez(folder / "nan.npz", test=images)
    np.savez(folder / "wide.npz", test=images[:, :, :4])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A density that has learnt something of the binary digits, whose strokes are no plain surface."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    given = ["trainer.max_epochs=8", "data.levels=2", "trainer.accelerator=cpu", "tracking.mode=disabled"]
    assert run_here("model=nade", "model.hidden=32", *given, "samples.completions=false", f"run_dir={folder}") == 0
    return folder


@pytest.mark.parametrize(("name", "against"), [*((name, "noise") for name in RUNS), ("nade", "constant")])
def test_every_medium_has_its_outliers_and_scores(name: str, against: str, runs: Path) -> None:
    assert run_here("anomaly", str(runs / name), "--against", against, "--n", "8") == 0
    folder = runs / name / "anomaly" / against
    found = json.loads((folder / "anomaly.json").read_text())
    expected = [score for score in SCORES if score != "complexity" or name != "table"]
    assert list(found["detectors"]) == expected and found["examples"] == 8
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows] == ["own"] * 8 + ["outliers"] * 8
    for score, values in found["detectors"].items():
        assert all(0 <= values[key] <= 1 for key in ("auroc", "aupr", "fpr95"))
        assert np.mean([float(row[score]) for row in rows[:8]]) == pytest.approx(values["own"], rel=1e-6)
    assert all((folder / file).is_file() for file in found["files"].values())
    with Image.open(folder / "histograms.png") as image:
        assert min(image.size) > 300


@pytest.mark.parametrize("name", [name for name in RUNS if name not in ("conditional", "sound", "text")])
def test_own_examples_are_scored_as_the_test_scores_them(name: str, runs: Path) -> None:
    opened = open_run(runs / name)
    data = opened.data()
    found = anomaly(str(runs / name), "noise", n=data.size("test"), out=str(runs / "all"))
    assert found.examples == data.size("test")
    assert found.detectors[0].own == pytest.approx(evaluate(opened.density, data).nll, rel=1e-5)


def test_labels_are_told_to_neither_side(runs: Path) -> None:
    """A conditional density is scored by log sum_y p(x | y) p(y), also where its own data has labels."""
    opened = open_run(runs / "conditional")
    data = opened.data()
    x = own_examples(opened.density, data, 20).x
    joint = opened.density.class_log_probs(torch.from_numpy(x)).detach() + data.class_prior().log()
    found = anomaly(str(runs / "conditional"), str(runs / "digits.npz"), n=20, out=str(runs / "files"))
    assert found.detectors[0].own == pytest.approx(-float(joint.logsumexp(1).mean()), rel=1e-5)


@pytest.mark.parametrize("name", PICTURES)
def test_its_own_data_from_a_dataset_or_file_is_no_anomaly(name: str, runs: Path) -> None:
    found = anomaly(str(runs / name), "digits", n=1000, out=str(runs / "same"))
    assert [d.metrics.auroc for d in found.detectors] == pytest.approx([0.5] * 4)
    assert found.detectors[0].own == found.detectors[0].outliers


def test_a_density_that_is_its_own_background_leaves_no_ratio(runs: Path) -> None:
    """The ratio of equal likelihoods is 0 everywhere."""
    found = anomaly(str(runs / "nade"), "noise", background=str(runs / "nade"), n=10, out=str(runs / "itself"))
    ratio = found.detectors[1]
    assert (ratio.own, ratio.outliers, ratio.metrics.auroc) == (0, 0, 0.5)


def test_the_likelihood_prefers_what_is_plainer_and_typicality_does_not(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ink = (load_digits().images > 8).mean(0) > 0.5  # each pixel as it is more often: plainer than any digit
    np.savez(trained.parent / "plain.npz", test=np.repeat(ink[None], 180, 0).astype(float))
    assert run_here("anomaly", str(trained), "--against", str(trained.parent / "plain.npz")) == 0
    output = capsys.readouterr().out
    assert "The likelihood prefers the outliers" in output and "Mended best by" in output
    metrics = json.loads((trained / "anomaly" / "plain" / "anomaly.json").read_text())["detectors"]
    assert metrics["likelihood"]["auroc"] < 0.5 < metrics["typicality"]["auroc"]


def test_metrics_are_those_of_their_definitions() -> None:
    own, outliers = np.random.RandomState(0).randn(2, 400) + np.array([[0.0], [1.0]])
    found = metrics_of(own, outliers)
    assert found.auroc == pytest.approx((outliers[:, None] > own).mean())
    assert found.fpr95 == pytest.approx((own >= np.sort(outliers)[20]).mean())
    assert metrics_of(own, own + 100) == (1, 1, 0)
    assert metrics_of(own, own).auroc == 0.5


def test_scores_are_those_of_their_papers() -> None:
    nll = np.array([10.0, 20.0, 30.0])
    found = scores_of(nll, np.array([10.0, 25.0, 10.0]), 20.0, np.array([8.0, 0.0, 16.0]))
    assert list(found) == SCORES and found["likelihood_ratio"].tolist() == [0, -5, 20]
    assert found["typicality"].tolist() == [10, 0, 10]
    assert found["complexity"] == pytest.approx(nll / math.log(2) - [8, 0, 16])


def test_a_coder_takes_more_for_what_is_less_plain() -> None:
    random = np.random.RandomState(0)
    for spec in (DataSpec((1, 16, 16), 256), DataSpec((3, 16, 16), 17), DataSpec((1, 64), 40, medium=Text())):
        plain, noise = (np.broadcast_to(v, (2, *spec.shape)).copy() for v in (0, random.randint(17, size=spec.shape)))
        few, many = code_bits(plain, spec), code_bits(noise, spec)
        assert few is not None and many is not None and 0 < few[0] < many[0] / 2
    assert code_bits(np.zeros((2, 1, 3), np.float32), DataSpec((1, 3), None)) is None


@pytest.mark.parametrize("spec", [DataSpec((1, 2), 3), DataSpec((1, 2), 3, medium=Text("abc"))], ids=["sites", "text"])
def test_frequencies_are_a_distribution(spec: DataSpec) -> None:
    train = np.array([[[0, 2]], [[1, 2]], [[0, 2]]])
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))[:, None].numpy()
    p = np.exp(-independent_nll(train, every, spec))
    assert p.sum() == pytest.approx(1)
    site = {"text": [3 / 9, 4 / 9], "sites": [3 / 6, 4 / 6]}["text" if spec.medium else "sites"]
    assert p[2] == pytest.approx(site[0] * site[1])  # (0, 2), counted from one


def test_real_values_have_a_gaussian_each() -> None:
    train, spec = np.random.RandomState(0).randn(500, 1, 2) * [1, 5] + [0, 3], DataSpec((1, 2), None)
    normal = torch.distributions.Normal(torch.tensor(train.mean((0, 1))), torch.tensor(train.std((0, 1))))
    expected = -normal.log_prob(torch.tensor(train[:9, 0])).sum(1)
    assert independent_nll(train, train[:9], spec) == pytest.approx(expected.numpy())


def test_images_of_another_kind_are_brought_to_the_density() -> None:
    colour, own = DataSpec((3, 32, 32), 256), DataSpec((1, 8, 8), 17)
    white = np.full((2, 3, 32, 32), 255)
    assert (fitted_levels(white, colour, own) == 16).all() and (fitted_levels(white * 0, colour, own) == 0).all()
    assert fitted_levels(white, colour, own).shape == (2, 1, 8, 8)
    grey = np.arange(17)[:, None, None, None] * np.ones((1, 8, 8), int)
    assert (fitted_levels(grey, own, DataSpec((3, 8, 8), 17)) == grey).all()


def test_pictures_on_more_levels_are_quantised_and_it_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez(runs / "grey.npz", test=grey)
    found, changes = outliers(open_run(runs / "nade"), str(runs / "nade"), str(runs / "grey.npz"), NONE, NONE, 12)
    assert np.array_equal(found.x[:, 0], grey.astype(int) * 17 // 256)
    assert changes == ("The outliers are quantised from 256 to 17 levels.",)
    np.savez(runs / "own.npz", test=load_digits().images[:12])  # 17 levels, as they are
    assert outliers(open_run(runs / "nade"), str(runs / "nade"), str(runs / "own.npz"), NONE, NONE, 12)[1] == ()
    found, changes = outliers(open_run(runs / "binary"), str(runs / "binary"), str(runs / "own.npz"), NONE, NONE, 12)
    assert set(np.unique(found.x)) == {0, 1} and changes == ("The outliers are quantised from 17 to 2 levels.",)
    Image.new("L", (40, 40), 9).save(runs / "large.png")
    assert run_here("anomaly", str(runs / "nade"), "--against", str(runs / "large.png"), "--n", "1") == 0
    assert "of another size (their central part is resized to 8 x 8)" in " ".join(capsys.readouterr().out.split())


def test_what_is_resized_is_said() -> None:
    small, large = DataSpec((1, 8, 8), 17), DataSpec((3, 28, 28), 256)
    assert _changes(small, large) == (
        "The outliers are enlarged from 8 x 8 to 28 x 28, which alone may tell them.",
        "The outliers are grey.",
        "The outliers are quantised from 17 to 256 levels.",
    )
    assert "shrunk from 28 x 28 to 8 x 8" in _changes(large, small)[0] and not _changes(small, small)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nade", "--against", "nosie"], "did you mean 'noise'"),
        (["nade", "--against", "missing.npz"], "no such file"),
        (["nade", "--against", "nan.npz"], "example 7 holds nan"),
        (["nade", "--against", "wide.npz"], "(1797, 8, 4)"),
        (["nade", "--against", "wine"], "was trained for 1x8x8"),
        (["nade", "--against", "shapes"], "no such file, dataset or synthetic data"),
        (["nade", "--against", "noise", "--background", "binary"], "was trained for 1x8x8 with binary values"),
        (["nade", "--against", "noise", "--background", "missing"], "no such run"),
        (["nade", "--against", "noise", "--n", "0"], "--n"),
        (["nade"], "--against"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_set_against_it_is_one_line(
    args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [str(runs / a) if a.endswith(".npz") or a in (*RUNS, "missing") else a for a in args]
    before = sorted(runs.rglob("*"))
    assert run_here("anomaly", *args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before
