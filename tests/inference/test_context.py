"""Commands on a density of images that is given a vector: they read it, or say in one line that it is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ar_lightning
from ar_lightning import Condition
from tests.support.commands import QUICK, result, run_here

N = 60
RANDOM = np.random.RandomState(0)
U = np.stack([1000 + 100 * RANDOM.randn(N), RANDOM.rand(N)], 1)
X = (RANDOM.rand(N, 4, 4) < np.where(U[:, 0] > 1000, 0.9, 0.1)[:, None, None]).astype(np.uint8)
Y = np.array(["low", "high"])[(U[:, 0] > 1000).astype(int)]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images with vectors, one with labels too, and the files."""
    folder = tmp_path_factory.mktemp("vectors")
    test = {"test": X[40:], "test_context": U[40:]}
    np.savez(folder / "mine.npz", train=X[:40], train_context=U[:40], **test)
    np.savez(
        folder / "labelled.npz", train=X[:40], train_context=U[:40], train_labels=Y[:40], test_labels=Y[40:], **test
    )
    np.savez(folder / "without.npz", test=X[40:])
    for name in ("mine", "labelled"):
        more = [
            "model.conditional=true",
            "model.hidden=8",
            f"data.path={folder / name}.npz",
            f"run_dir={folder / 'runs' / name}",
        ]
        assert run_here("model=nade", "data=npz", "data.batch_size=8", "data.eval_batch_size=20", *more, *QUICK) == 0
    return folder


def run_of(vectors: Path, name: str = "mine") -> str:
    return str(vectors / "runs" / name)


def test_the_density_keeps_what_vectors_are_standardised_by(vectors: Path) -> None:
    density = ar_lightning.load(run_of(vectors))
    mean, std = density.spec.context[0]
    assert (mean, std) == (pytest.approx(U[:40, 0].mean()), pytest.approx(U[:40, 0].std(), rel=1e-4))
    assert result(vectors / "runs" / "mine")["given"] == "a vector"
    assert result(vectors / "runs" / "labelled")["given"] == "the label and a vector"
    x, u = torch.from_numpy(X).long()[:, None], torch.from_numpy(U).float()
    assert not torch.equal(density.log_prob(x, Condition(context=u)), density.log_prob(x, Condition(context=u + 100)))


@pytest.mark.parametrize("name", ["mine", "labelled"])
def test_test_and_score_agree(vectors: Path, tmp_path: Path, name: str) -> None:
    run = run_of(vectors, name)
    assert run_here("test", run, "--out", str(tmp_path / "test.json")) == 0
    assert run_here("score", run, "--data", str(vectors / f"{name}.npz"), "--out", str(tmp_path / "s.csv")) == 0
    lines = (tmp_path / "s.csv").read_text().splitlines()[1:]
    nll = -np.mean([float(line.split(",")[1]) for line in lines])
    assert len(lines) == 20 and nll == pytest.approx(json.loads((tmp_path / "test.json").read_text())["nll"], rel=1e-5)


def test_samples_are_given_vectors_of_test_examples_or_of_a_file(vectors: Path, tmp_path: Path) -> None:
    assert run_here("sample", run_of(vectors), "--n", "20", "--out", str(tmp_path / "own")) == 0
    own = np.load(tmp_path / "own.npz")
    assert np.array_equal(own["train_context"], U[40:].astype(np.float32)) and "train_labels" not in own
    assert (
        run_here("score", run_of(vectors), "--data", str(tmp_path / "own.npz"), "--out", str(tmp_path / "s.csv")) == 0
    )
    np.savez(tmp_path / "given.npz", context=U[:3])
    given = ["--given", str(tmp_path / "given.npz"), "--n", "6", "--out", str(tmp_path / "given-drawn")]
    assert run_here("sample", run_of(vectors), *given) == 0
    assert np.array_equal(
        np.load(tmp_path / "given-drawn.npz")["train_context"], np.tile(U[:3], (2, 1)).astype(np.float32)
    )


def test_samples_of_a_class_are_given_its_vectors(vectors: Path, tmp_path: Path) -> None:
    for label in ("low", "high", None):
        chosen = [] if label is None else ["--cond", label]
        assert (
            run_here("sample", run_of(vectors, "labelled"), "--n", "20", *chosen, "--out", str(tmp_path / "drawn")) == 0
        )
        drawn = np.load(tmp_path / "drawn.npz")
        assert label is None or set(drawn["train_labels"]) == {label}
        assert np.array_equal(drawn["train_labels"] == "high", drawn["train_context"][:, 0] > 1000)


def test_what_is_compressed_comes_back_with_its_vectors(vectors: Path, tmp_path: Path) -> None:
    for name in ("mine", "labelled"):
        source, code, back = (str(tmp_path / f) for f in ("source.npz", "code.arl", "back.npz"))
        arrays = {key: array for key, array in np.load(vectors / f"{name}.npz").items() if key.startswith("test")}
        np.savez(source, **arrays)
        assert run_here("compress", run_of(vectors, name), source, "--out", code) == 0
        assert run_here("decompress", run_of(vectors, name), code, "--out", back) == 0
        again = np.load(back)
        assert set(again) == set(arrays)
        for key, array in arrays.items():
            assert np.array_equal(again[key], array) and again[key].dtype == array.dtype
        assert run_here("compress", run_of(vectors, name), "data:test[:5]", "--out", code) == 0
        assert run_here("decompress", run_of(vectors, name), code, "--out", back) == 0
        assert np.array_equal(np.load(back)["test_context"], U[40:45].astype(np.float32))


def test_completions_and_outliers_have_vectors(vectors: Path, tmp_path: Path) -> None:
    for source in ("data:test[3]", str(vectors / "mine.npz")):
        assert run_here("complete", run_of(vectors), "--input", source, "--n", "2", "--out", str(tmp_path / "c")) == 0
    assert len(np.load(tmp_path / "c.npz")["train_context"]) == 2
    against = ["--against", "noise", "--n", "10", "--out", str(tmp_path / "anomaly")]
    assert run_here("anomaly", run_of(vectors), *against) == 0
    assert run_here("features", run_of(vectors), "--out", str(tmp_path / "features")) == 0


def test_vectors_that_are_missing_are_named_in_one_line(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, without = run_of(vectors), str(vectors / "without.npz")
    np.savez(tmp_path / "narrow.npz", context=U[:3, :1])
    np.savez(tmp_path / "plain.npz", train=X)
    wrong = {
        ("score", run, "--data", without): "save 'test_context' of shape (20, 2)",
        ("complete", run, "--input", without): "save 'test_context' of shape (20, 2)",
        ("compress", run, without): "save 'test_context' of shape (20, 2)",
        ("sample", run, "--given", str(tmp_path / "narrow.npz")): "reads vectors of shape (n, 2)",
        ("sample", run, f"data.path={tmp_path / 'plain.npz'}"): "reads vectors: give `cond`",
        ("test", run, f"data.path={tmp_path / 'plain.npz'}"): "model.conditional=true needs labels or vectors",
    }
    for command, message in wrong.items():
        capsys.readouterr()
        assert run_here(*command) == 2, command
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
