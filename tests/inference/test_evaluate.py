"""`run.py test` and `score`: the number of the training to its last digit, honest errors, and one line for bad data."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

from ar_lightning.inference.evaluate import evaluate, scores
from ar_lightning.inference.open import open_run
from tests.support.commands import QUICK, result, run_here

SMALL_WAVENET = ["model=wavenet", "model.channels=4", "model.layers=3", "model.stacks=1", "data=tones"]
RUNS = {
    "nade": ["model=nade", "model.hidden=8", "data.batch_size=50"],
    "ema": ["model=nade", "model.hidden=8", "trainer.ema=0.5", "data.batch_size=50"],
    "conditional": ["model=gated_pixelcnn", "model.hidden=6", "model.layers=1", "model.conditional=true"],
    "sound": [*SMALL_WAVENET, "model.conditional=true"],
    "melody": [*SMALL_WAVENET, "model.local=true", "data.melody=true"],
    "table": ["model=rnade", "model.hidden=8", "data=wine", "data.batch_size=7"],
    "stream": ["model=rnn", "model.hidden=8", "data=text", "data.stream=true", "data.batch_size=5"],
    "members": ["model=made", "model.hidden=8", "model.masks=3", "model.vary_order=true"],
    "noisy": ["model=nade", "model.hidden=8", "data.dequantise=true"],
    "half": ["model=nade", "model.hidden=8", "trainer.precision=bf16-mixed"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text("do re mi fa sol la ti do\n" * 60)
    for name, given in RUNS.items():
        where = [f"data.path={folder / 'song.txt'}", "data.length=16"] if name == "stream" else []
        unlimited = [] if name == "half" else ["trainer.limit_test=null"]
        few = ["samples.completions=false", f"run_dir={folder / name}"]
        assert run_here(*given, *where, *QUICK, *unlimited, *few) == 0
    images = load_digits().images
    np.savez(folder / "digits.npz", test=images[:30], test_labels=load_digits().target[:30])
    images[7, 1, 1] = np.nan
    np.savez(folder / "nan.npz", test=images)
    images[7, 1, 1] = 17
    np.savez(folder / "large.npz", test=images)
    np.savez(folder / "wide.npz", test=images[:, :, :4])
    return folder


def read_scores(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_windows_of_a_stream_are_written_in_the_order_of_the_text(runs: Path) -> None:
    """They are read in lanes."""
    opened = open_run(runs / "stream")
    with opened.computing():
        parts = list(scores(opened.density, opened.data()))
    nll = dict(zip(*(torch.cat([getattr(part, of) for part in parts]).tolist() for of in ("rows", "nll")), strict=True))
    assert [*nll] != sorted(nll)
    assert run_here("score", str(runs / "stream"), "--out", str(runs / "lanes.csv")) == 0
    rows = read_scores(runs / "lanes.csv")
    assert [float(row["nats"]) for row in rows] == pytest.approx([-nll[i] for i in range(len(nll))], rel=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_the_number_of_the_training_comes_out_again(name: str, runs: Path) -> None:
    before = result(runs / name)
    assert run_here("test", str(runs / name)) == 0
    found = json.loads((runs / name / "test.json").read_text())
    assert (found["nll"], found["bpd"]) == (before["test/nll"], before["test/bpd"])
    assert (found["accuracy"], found["examples"]) == (before.get("test/accuracy"), before["test_examples"])
    assert found["regime"] == before["regime"] and found["independent"] == (name != "stream")


@pytest.mark.parametrize("name", [name for name in RUNS if name != "half"])
def test_scores_are_of_every_example_in_order_and_average_to_the_test_nll(name: str, runs: Path) -> None:
    assert run_here("score", str(runs / name), "--out", str(runs / "s.csv")) == 0
    rows, before = read_scores(runs / "s.csv"), result(runs / name)
    assert [int(row["index"]) for row in rows] == list(range(before["test_examples"]))
    assert -np.mean([float(row["nats"]) for row in rows]) == pytest.approx(before["test/nll"], rel=1e-6)
    assert np.mean([float(row["bits_per_dim"]) for row in rows]) == pytest.approx(before["test/bpd"], rel=1e-6)
    assert ("p_label" in rows[0]) == ("test/accuracy" in before)
    opened = open_run(runs / name)
    if name not in ("stream", "noisy", "half"):  # what is scored by itself is what the density says of it
        x, cond = opened.data().split("test")
        assert float(rows[3]["nats"]) == pytest.approx(float(opened.density.log_prob(x, cond)[3]), rel=1e-5)


@pytest.mark.parametrize("name", ["nade", "conditional", "table"])
def test_classes_sum_to_the_whole(name: str, runs: Path) -> None:
    opened = open_run(runs / name)
    found = evaluate(opened.density, opened.data())
    assert sum(c.examples for c in found.classes) == found.examples
    assert sum(c.examples * c.nll for c in found.classes) == pytest.approx(found.examples * found.nll)
    if found.accuracy is not None:
        right = sum(c.examples * (c.accuracy or 0) for c in found.classes)
        assert right == pytest.approx(found.examples * found.accuracy)


def test_a_mixture_says_what_its_first_members_come_to(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = open_run(runs / "members")
    x, _ = opened.data().split("test")
    with torch.no_grad():
        p = torch.stack([opened.density.terms(x, None, k).flatten(1).double().sum(1).exp() for k in range(3)])
    expected = {n: float(-p[:n].mean(0).log().mean()) for n in (1, 2, 3)}
    assert len({f"{nll:.2f}" for nll in expected.values()}) == 3
    trained = result(runs / "members")["test/nll_by_members"]
    assert {int(n): nll for n, nll in trained.items()} == pytest.approx(expected, abs=1e-3)
    assert trained["3"] == pytest.approx(result(runs / "members")["test/nll"])
    capsys.readouterr()
    assert run_here("test", str(runs / "members")) == 0
    assert f"2 of 3 {expected[2]:.2f}"[:-1] in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_mixture_of_classes_says_what_its_first_members_come_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the end of a training, and in `test`."""
    settings = ("model=made", "model.hidden=8", "model.masks=2", "model.conditional=true", "data=digits")
    assert run_here(*settings, *QUICK, "trainer.limit_test=null", f"run_dir={tmp_path}") == 0
    printed, trained = capsys.readouterr().out, result(tmp_path)
    opened = open_run(tmp_path)
    x, cond = opened.data().split("test")
    log_p = opened.density.member_log_probs(x, cond).detach().double()
    expected = {1: float(-log_p[0].mean()), 2: float(math.log(2) - log_p.logsumexp(0).mean())}
    assert {int(n): nll for n, nll in trained["test/nll_by_members"].items()} == pytest.approx(expected, abs=1e-3)
    assert evaluate(opened.density, opened.data()).nll_by_members == pytest.approx(expected, abs=1e-3)
    assert f"1 of 2 {trained['test/nll_by_members']['1']:.4f}" in " ".join(printed.replace("│", " ").split())


def test_the_standard_error_is_that_of_a_bootstrap(runs: Path) -> None:
    opened = open_run(runs / "nade")
    nll = torch.cat([part.nll for part in scores(opened.density, opened.data())]).numpy()
    drawn = np.random.default_rng(0).choice(nll, (4000, len(nll))).mean(1)
    assert evaluate(opened.density, opened.data()).nll_stderr == pytest.approx(drawn.std(), rel=0.05)


def test_a_table_from_a_file_is_standardised_as_the_training_was(runs: Path) -> None:
    wine = load_wine()
    names = [name.replace("_", " ") for name in wine.feature_names]
    with (runs / "wine.csv").open("w", newline="") as file:  # its columns in another order, and one more
        csv.writer(file).writerows([["more", *names[::-1]], *([0, *row[::-1]] for row in wine.data.tolist())])
    assert run_here("score", str(runs / "table"), "--data", str(runs / "wine.csv"), "--out", str(runs / "w.csv")) == 0
    opened = open_run(runs / "table")
    x = opened.data().split("test")[0]
    medium = opened.density.spec.medium
    raw = (np.array(medium.offset) + np.array(medium.scale) * x[:, 0].numpy()).round(4)  # type: ignore[union-attr]
    place = [int(np.abs(wine.data - row).sum(1).argmin()) for row in raw]
    found = [float(read_scores(runs / "w.csv")[i]["nats"]) for i in place]
    assert found == pytest.approx(opened.density.log_prob(x).tolist(), rel=1e-4)


def test_other_rows_of_a_table_are_scored_in_the_same_units(runs: Path) -> None:
    opened = open_run(runs / "table", ["data.split_seed=5"])
    data = opened.data()
    assert data.spec.medium != opened.density.spec.medium
    medium, other = opened.density.spec.medium, data.spec.medium
    raw = np.array(other.offset) + np.array(other.scale) * data.split("test")[0].numpy()  # type: ignore[union-attr]
    z = torch.tensor((raw - np.array(medium.offset)) / np.array(medium.scale)).float()  # type: ignore[union-attr]
    assert evaluate(opened.density, data).nll == pytest.approx(-float(opened.density.log_prob(z).mean()), rel=1e-5)


def test_files_are_scored_as_their_values_are(runs: Path) -> None:
    digits = load_digits()
    file = ["--data", str(runs / "digits.npz"), "--out", str(runs / "d.csv")]
    assert run_here("score", str(runs / "conditional"), *file) == 0
    rows = read_scores(runs / "d.csv")
    x, y = torch.tensor(digits.images[:30]).long()[:, None], torch.tensor(digits.target[:30])
    opened = open_run(runs / "conditional")
    expected = opened.density.log_prob(x, y).tolist()
    assert [float(row["nats"]) for row in rows] == pytest.approx(expected, rel=1e-5)
    assert [int(row["label"]) for row in rows] == y.tolist() and all(0 < float(row["p_label"]) < 1 for row in rows)
    assert run_here("score", str(runs / "stream"), "--data", str(runs / "song.txt"), "--out", str(runs / "t.csv")) == 0
    assert len(read_scores(runs / "t.csv")) == 60 * 25 // 16


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["test", "nade", "data=wine"], "was trained for 1x8x8"),
        (["test", "nade", "data.levels=2"], "17 levels"),
        (["test", "nade", "data.levels=3"], "data.levels"),
        (["test", "table", "data=breast_cancer"], "every site"),
        (["test", "nade", "model.hidden=9"], "fixed by the training"),
        (["test", "nade", "data.nmae=digits"], "did you mean 'name'"),
        (["test", "nade", "data.dequantise=true"], "dequantised"),
        (["test", "nade", "trainer.devices=2"], "one device"),
        (["test", "nade", "data.stream=true"], "data.stream"),
        (["test", "nad"], "did you mean 'nade'"),
        (["score", "nade", "--data", "nan.npz"], "example 7 holds nan"),
        (["score", "noisy", "--data", "large.npz"], "example 7 holds 17"),
        (["score", "nade", "--data", "wide.npz"], "(1797, 8, 4)"),
        (["score", "nade", "--data", "digts"], "did you mean 'digits'"),
        (["score", "nade", "--split", "train"], "test and valid"),
        (["score", "table", "--data", "song.txt"], "song.txt"),
        (["score", "nade", "--data", "song.txt"], "not an image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_scored_is_one_line(
    args: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [str(runs / a) if i == 1 or a.endswith((".npz", ".txt")) else a for i, a in enumerate(args)]
    before = sorted(runs.rglob("*"))
    assert run_here(*args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before
