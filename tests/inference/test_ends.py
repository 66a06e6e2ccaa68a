"""Lines of different lengths from the command line: trained, tested, scored, drawn, completed, compressed."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.sound import Sounds
from ar_lightning.training.checkpoints import load
from tests.support.commands import QUICK, result, run_apart, run_here

NAMES = [f"{'ab' * (i % 5)}{chr(ord('a') + i % 7)}" for i in range(200)]
SMALL = ["model=rnn", "model.hidden=8", "model.embedding=4", "data=lines", "data.batch_size=20"]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "names.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path


@pytest.fixture(scope="module")
def run(names: Path) -> Path:
    """A run of a few steps."""
    folder = names.parent / "run"
    assert run_here(*SMALL, f"data.path={names}", *QUICK, "trainer.limit_test=null", f"run_dir={folder}") == 0
    return folder


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_bits_are_of_the_symbols_that_there_are(run: Path, names: Path, tmp_path: Path) -> None:
    """In the result, in `test`, and of each line in `score`, whose sum is that of all."""
    trained = result(run)
    assert run_here("test", str(run), "--out", str(tmp_path / "test.json")) == 0
    tested = json.loads((tmp_path / "test.json").read_text())
    assert tested["nll"] == pytest.approx(trained["test/nll"], rel=1e-5)
    assert tested["bpd"] == pytest.approx(trained["test/bpd"], rel=1e-5) and tested["bpd_stderr"] > 0
    assert run_here("score", str(run), "--data", str(names), "--out", str(tmp_path / "scores.csv")) == 0
    scores = read(tmp_path / "scores.csv")
    assert len(scores) == len(NAMES)
    for name, row in zip(NAMES, scores, strict=True):
        bits = -float(row["nats"]) / math.log(2)
        assert float(row["bits_per_dim"]) == pytest.approx(bits / (len(name) + 1), rel=1e-5)
    assert run_here("score", str(run), "--out", str(tmp_path / "own.csv")) == 0
    nats, bits = ([float(row[key]) for row in read(tmp_path / "own.csv")] for key in ("nats", "bits_per_dim"))
    symbols = sum(-nat / math.log(2) / bit for nat, bit in zip(nats, bits, strict=True))
    assert trained["test/bpd"] == pytest.approx(-sum(nats) / math.log(2) / symbols, rel=1e-5)
    valid = result(run)["val/nll"] / result(run)["val/bpd"] / math.log(2)
    assert valid == pytest.approx(np.mean([len(name) + 1 for name in NAMES]), rel=0.2)


def test_samples_and_completions_are_lines(run: Path, names: Path, tmp_path: Path) -> None:
    assert run_here("sample", str(run), "--n", "5", "--out", str(tmp_path / "drawn")) == 0
    assert len((tmp_path / "drawn.txt").read_text().splitlines()) == 5
    assert run_here("sample", str(run), "--n", "3", "--prompt", "ab", "--out", str(tmp_path / "told")) == 0
    assert all(line.startswith("⟦ab⟧") for line in (tmp_path / "told.txt").read_text().splitlines())
    (tmp_path / "one.txt").write_text("ababab\n")
    assert (
        run_here("complete", str(run), "--input", str(tmp_path / "one.txt"), "--n", "2", "--out", str(tmp_path / "c"))
        == 0
    )
    own, *drawn = (tmp_path / "c.txt").read_text().splitlines()
    assert own == "⟦aba⟧bab" and len(drawn) == 2 and all(line.startswith("⟦aba⟧") for line in drawn)


def test_a_bound_that_cuts_samples_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("sample", str(run), "--n", "20", "--length", "2", "--out", str(tmp_path / "s")) == 0
    assert "samples have not ended after 2 values" in capsys.readouterr().err


def test_a_longer_bound_draws_and_scores_the_same(run: Path) -> None:
    short, long = load(run), load(run, length=40)
    x = torch.full((2, 1, 40), short.spec.end or 0)
    x[0, 0, :3] = 0
    n = short.spec.dims
    with torch.no_grad():
        assert torch.allclose(short.log_prob(x[..., :n]), long.log_prob(x), atol=1e-6)


def test_lines_come_back_from_their_code(
    run: Path, names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("compress", str(run), str(names), "--out", str(tmp_path / "n.arl")) == 0
    assert run_here("decompress", str(run), str(tmp_path / "n.arl"), "--out", str(tmp_path / "back.txt")) == 0
    assert (tmp_path / "back.txt").read_bytes() == names.read_bytes()
    for content in ("a\n\nb\n", "a\r\nb\n", "a\nb", f"{'ab' * 50}\n"):
        (tmp_path / "odd.txt").write_bytes(content.encode())
        capsys.readouterr()
        assert run_here("compress", str(run), str(tmp_path / "odd.txt")) == 2
        assert "would not come back" in capsys.readouterr().err
    assert run_here("compress", str(run), "data:test", "--out", str(tmp_path / "t.arl")) == 0
    assert run_here("decompress", str(run), str(tmp_path / "t.arl"), "--out", str(tmp_path / "t.npz")) == 0


def test_lines_that_are_too_long_or_unknown_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.txt").write_text("a\n" + "ab" * 30 + "\n")
    out = str(tmp_path / "s.csv")
    assert run_here("score", str(run), "--data", str(tmp_path / "long.txt"), "--out", out) == 0
    assert "1 of 2 examples are cut to their first 10 values" in capsys.readouterr().err
    (tmp_path / "odd.txt").write_text("ab\nabz\n")
    assert run_here("score", str(run), "--data", str(tmp_path / "odd.txt"), "--out", out) == 2
    assert "'z' in the line 'abz' is none of the 7 characters" in capsys.readouterr().err
    assert run_here("test", str(run), "data.name=text") == 2
    assert "trained for at most 1x128 with 8 levels, the end among them" in capsys.readouterr().err


@pytest.mark.parametrize("against", ["noise", "constant", "file"])
def test_other_lines_are_told_apart(run: Path, tmp_path: Path, against: str) -> None:
    (tmp_path / "file.txt").write_text("gggg\nffff\n" * 20)
    other = str(tmp_path / "file.txt") if against == "file" else against
    assert run_here("anomaly", str(run), "--against", other, "--out", str(tmp_path / "found")) == 0
    assert (tmp_path / "found" / "outliers.txt").is_file()


def test_features_of_lines_are_written(run: Path, tmp_path: Path) -> None:
    assert run_here("features", str(run), "--out", str(tmp_path)) == 0
    assert np.load(tmp_path / "test.npz")["features"].shape[0] == 20


@pytest.mark.ddp
def test_two_processes_train_and_test_as_one(names: Path, tmp_path: Path) -> None:
    common = [
        *SMALL, f"data.path={names}", "trainer.max_epochs=2", "optimizer=sgd", "optimizer.lr=0.02",
        "trainer.accelerator=cpu", "samples.n=3", "tracking.mode=disabled",
    ]  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    assert run_here(*common, "trainer.devices=1", f"run_dir={one}") == 0
    run_apart(*common, "trainer.devices=2", "trainer.strategy=ddp", f"run_dir={two}")
    for key in ("test/nll", "test/bpd", "val/nll", "val/bpd"):
        assert result(two)[key] == pytest.approx(result(one)[key], rel=1e-6)
    assert (one / "samples" / "final.txt").read_bytes() == (two / "samples" / "final.txt").read_bytes()


def test_arrays_of_different_lengths_go_round(tmp_path: Path) -> None:
    """Samples of such arrays are arrays of such, which can be scored."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 6, 60)
    np.savez(tmp_path / "a.npz", train=rng.integers(0, 3, (60, 6)), train_lengths=lengths)
    run, path = tmp_path / "run", f"data.path={tmp_path / 'a.npz'}"
    assert (
        run_here("model=transformer", "model.width=8", "model.layers=1", "data=npz", path, *QUICK, f"run_dir={run}")
        == 0
    )
    assert run_here("sample", str(run), "--n", "9", "--out", str(tmp_path / "s")) == 0
    drawn = np.load(tmp_path / "s.npz")
    assert set(drawn.files) == {"train", "train_lengths"} and drawn["train"].shape == (9, 6)
    out = str(tmp_path / "scores.csv")
    assert run_here("score", str(run), "--data", str(tmp_path / "s.npz"), "--split", "train", "--out", out) == 0
    assert len(read(tmp_path / "scores.csv")) == 9


def test_recordings_are_written_to_their_ends(tmp_path: Path) -> None:
    spec = DataSpec((1, 100), 17, medium=Audio(1000), ends=True)
    x = torch.randint(16, (3, 1, 100))
    x[1, :, 40:] = x[2] = 16
    paths = Sounds(spec).write_wavs(x, tmp_path / "s")
    assert [len(wavfile.read(path)[1]) for path in paths] == [100, 40, 1]
    assert not Sounds(spec).amplitudes(x)[1, 40:].any()
