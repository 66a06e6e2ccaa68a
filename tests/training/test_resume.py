"""A run goes on as if it had not ended: within an epoch, moved, with another patience; not on other data."""

import csv
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.data.base import Split
from ar_lightning.data.datasets.digits import Digits
from ar_lightning.data.fingerprint import changed, fingerprint
from ar_lightning.density.density import Density
from ar_lightning.training.lit import LitDensity
from ar_lightning.training.trainer import RunCheckpoints
from tests.support.commands import QUICK, killed_after, result, run_apart, run_here

NADE = ["model=nade", "model.hidden=8", *QUICK, "data.batch_size=20", "samples.every=0", "samples.completions=false"]
STREAM = ["--config", "conf/char_rnn.yaml", "model.hidden=8", *QUICK, "data.stream=true", "data.length=16",
          "schedule=constant"]  # fmt: skip
CASES = {
    "random": [*NADE, "trainer.ema=0.9", "schedule=plateau"],
    "accumulated": [*NADE, "trainer.accumulate=2"],
    "stream": [*STREAM, "schedule=constant", "data.batch_size=8"],
}


@pytest.fixture
def random_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits whose training batches lose random pixels, so that training draws from the global generator."""

    def augment(self: Digits, x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.rand(x.shape) < 0.9, x, 0)

    monkeypatch.setattr(Digits, "augment", augment)


def last(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a.keys() | b.keys())


def epochs(run: Path) -> list[tuple[str, str, str]]:
    """Return steps, training and validation nats of the rows of whole epochs."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = [(row["step"], row["train/nll"], row["val/nll"]) for row in csv.DictReader(file)]
    return [row for row in rows if any(row[1:])]


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert run_here(*args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.usefixtures("random_training_data")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_ended_within_epochs_goes_on_there(case: str, tmp_path: Path) -> None:
    length = ["trainer.max_epochs=3", "trainer.limit_train=6"]
    steps = (2, 4) if case == "accumulated" else (5, 7)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_here(*CASES[case], *length, f"run_dir={whole}") == 0
    assert run_here(*CASES[case], *length, f"trainer.max_steps={steps[0]}", f"run_dir={cut}") == 0
    assert run_here("--resume", str(cut), f"trainer.max_steps={steps[1]}") == 0
    assert result(cut)["steps"] == steps[1]
    assert run_here("--resume", str(cut), "trainer.max_steps=null") == 0
    assert same(last(whole)["state_dict"], last(cut)["state_dict"])
    assert result(whole)["test/nll"] == result(cut)["test/nll"] and result(whole)["steps"] == result(cut)["steps"]
    assert set(epochs(whole)) <= set(epochs(cut))


def rows(run: Path) -> list[dict[str, str]]:
    """Return all that was logged, except how fast it was."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if "throughput" not in k} for row in csv.DictReader(file)]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of whole epochs that were printed, without their seconds."""
    return re.findall(r"^epoch \d+/\d+  train .*(?=  [\d.]+ s$)", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.usefixtures("random_training_data")
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_broke_off_goes_on_from_its_last_minutes(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the second of three epochs: all that is kept and printed is the same as in one go."""
    base = [*CASES[case], "trainer.max_epochs=3", "trainer.limit_train=6", "trainer.save_minutes=1e-9"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_here(*base, f"run_dir={whole}") == 0
    said = lines(capsys)
    step = LitDensity.training_step

    def broken(self: LitDensity, batch: Any, index: int) -> torch.Tensor:
        if (self.current_epoch, index) == (1, 5):
            raise ConnectionError("the machine was taken away")
        return step(self, batch, index)

    with monkeypatch.context() as context:
        context.setattr(LitDensity, "training_step", broken)
        assert run_here(*base, f"run_dir={cut}") == 2
    assert last(cut)["within_epoch"][0]["batches"] == (4 if case == "accumulated" else 5)
    capsys.readouterr()
    assert run_here("--resume", str(cut)) == 0
    assert len(said) == 3 and lines(capsys) == said[1:]
    assert same(last(whole)["state_dict"], last(cut)["state_dict"])
    assert rows(whole) == rows(cut)
    assert result(whole)["test/nll"] == result(cut)["test/nll"]


def test_minutes_are_those_since_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a minute a batch, three of which, or four where two are an optimizer step, pass between checkpoints."""
    loss, clock, kept = Density.loss, [0.0], []
    save = RunCheckpoints.save_checkpoint

    def slow(self: Density, *args: Any) -> torch.Tensor:
        clock[0] += 60.0
        return loss(self, *args)

    def saved(self: RunCheckpoints, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
        kept.append((Path(path).stem, checkpoint["global_step"], "within_epoch" in checkpoint))
        save(self, checkpoint, path, **options)

    monkeypatch.setattr("ar_lightning.training.callbacks.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Density, "loss", slow)
    monkeypatch.setattr(RunCheckpoints, "save_checkpoint", saved)
    base = [*NADE, "trainer.max_epochs=2", "trainer.limit_train=8", "trainer.save_minutes=3"]
    ends = [("best", 8, False), ("last", 8, False)]
    assert run_here(*base, f"run_dir={tmp_path / 'every'}") == 0
    assert kept[:4] == [("last", 3, True), ("last", 6, True), *ends]
    assert kept[4:6] == [("last", 11, True), ("last", 14, True)], "counted from the end of the epoch"
    kept.clear()
    assert run_here(*base, "trainer.accumulate=2", f"run_dir={tmp_path / 'other'}") == 0
    assert kept[:3] == [("last", 2, True), ("best", 4, False), ("last", 4, False)]


def test_lines_within_an_epoch_that_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No loss is known before one is logged; and an epoch of which no batch is left has no likelihood."""
    monkeypatch.setattr("ar_lightning.training.progress.PAUSE", 0.0)
    run = tmp_path / "run"
    steps = ["trainer.limit_train=6", "trainer.log_every=50"]
    assert run_here(*NADE, *steps, "trainer.max_steps=3", f"run_dir={run}") == 0
    shutil.copytree(run, tmp_path / "shorter")
    assert run_here("--resume", str(tmp_path / "shorter"), "trainer.max_steps=null", "trainer.limit_train=2") == 0
    capsys.readouterr()
    assert run_here("--resume", str(run), "trainer.max_steps=null") == 0
    assert "epoch 1/1  4 of 6 batches  0 s\n" in capsys.readouterr().out


def test_a_run_goes_on_from_an_epoch_of_every_other(noise: list[str], tmp_path: Path) -> None:
    """Where the best checkpoint is written when the validation ends, and not the epoch."""
    whole, again = tmp_path / "whole", tmp_path / "again"
    base = [*noise, "trainer.val_every=2", "trainer.max_epochs=4"]
    assert run_here(*base, f"run_dir={whole}") == 0
    assert last(whole, "best")["epoch"] == 1
    shutil.copytree(whole, again)
    assert run_here("--resume", str(again / "checkpoints" / "best.ckpt")) == 0
    assert same(last(whole)["state_dict"], last(again)["state_dict"])


TWO = [  # processes, each of which draws its own dropout
    "model=gated_pixelcnn", "model.hidden=4", "model.layers=1", "model.head=4", "model.dropout=0.5", *QUICK,
    "data.batch_size=20", "trainer.limit_train=4", "trainer.max_epochs=2", "trainer.devices=2", "trainer.strategy=ddp",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes in one go."""
    run = tmp_path_factory.mktemp("two") / "whole"
    run_apart(*TWO, f"run_dir={run}")
    return run


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_that_ended_within_an_epoch_go_on_there(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    run_apart(*TWO, "trainer.max_steps=3", f"run_dir={cut}")
    shutil.copytree(cut, tmp_path / "one")
    run_apart("--resume", str(cut), "trainer.max_steps=null")
    assert same(last(whole)["state_dict"], last(cut)["state_dict"])
    assert set(epochs(whole)) <= set(epochs(cut))
    said = run_apart("--resume", str(tmp_path / "one"), "trainer.max_steps=null", "trainer.devices=1")
    assert "draws other random numbers" in said and result(tmp_path / "one")["steps"] == 8


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_that_were_killed_go_on_from_their_last_minutes(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    killed_after(3, *TWO, "trainer.save_minutes=1e-9", f"run_dir={cut}")
    assert len(last(cut)["within_epoch"]) == 2
    run_apart("--resume", str(cut))
    assert same(last(whole)["state_dict"], last(cut)["state_dict"])
    assert rows(whole) == rows(cut)


def test_an_optimizer_step_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up after the first of four batches that are one step."""
    loss = Density.loss

    def late(self: Density, *args: Any) -> torch.Tensor:
        clock[0] += 3600.0
        return loss(self, *args)

    clock = [0.0]
    monkeypatch.setattr("lightning.pytorch.callbacks.timer.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(Density, "loss", late)
    assert run_here(*NADE, "trainer.accumulate=4", "trainer.limit_train=9", "trainer.max_hours=0.5",
                    f"run_dir={tmp_path / 'run'}") == 0  # fmt: skip
    assert last(tmp_path / "run")["within_epoch"][0]["batches"] == 4


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a training on fair coins: the longer, the worse on other examples."""
    file = tmp_path_factory.mktemp("noise") / "coins.npz"
    x = np.random.default_rng(0).integers(0, 2, (60, 8, 8))
    np.savez(file, train=x[:20], valid=x[20:40], test=x[40:])
    return [*NADE, "data.name=npz", f"data.path={file}", "optimizer.lr=0.1", "trainer.max_epochs=3"]


@pytest.fixture(scope="module")
def overfitted(noise: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first epoch is the best."""
    run = tmp_path_factory.mktemp("overfitted") / "run"
    assert run_here(*noise, f"run_dir={run}") == 0
    assert last(run, "best")["epoch"] == 0
    return run


@pytest.mark.parametrize("moved", [True, False])
def test_a_run_that_was_moved_keeps_its_best_epoch(moved: bool, overfitted: Path, tmp_path: Path) -> None:
    """Its weights are tested, and not those of the run that it is a copy of."""
    original = shutil.copytree(overfitted, tmp_path / "original")
    run = Path(shutil.move(original, tmp_path / "moved")) if moved else shutil.copytree(original, tmp_path / "copy")
    best = (run / "checkpoints" / "best.ckpt").read_bytes()
    if not moved:
        (original / "checkpoints" / "best.ckpt").write_bytes((original / "checkpoints" / "last.ckpt").read_bytes())
    assert run_here("--resume", str(run), "trainer.max_epochs=4") == 0
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == best
    assert {key: result(run)[key] for key in ("val/nll", "test/nll")} == {
        key: result(overfitted)[key] for key in ("val/nll", "test/nll")
    }
    assert str(tmp_path).encode() not in (overfitted / "checkpoints" / "last.ckpt").read_bytes()


def test_a_run_without_its_best_checkpoint_chooses_among_the_epochs_to_come(overfitted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(overfitted, tmp_path / "run")
    (run / "checkpoints" / "best.ckpt").unlink()
    assert run_here("--resume", str(run), "trainer.max_epochs=4") == 0
    assert last(run, "best")["epoch"] == 3


def test_a_run_goes_on_from_its_best_epoch(overfitted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(overfitted, tmp_path / "run")
    (run / "checkpoints" / "last.ckpt").unlink()
    assert run_here("--resume", str(run / "checkpoints" / "best.ckpt")) == 0
    assert same(last(run)["state_dict"], last(overfitted)["state_dict"])
    assert epochs(run) == epochs(overfitted)


def test_other_data_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, 4))
    np.savez(tmp_path / "data.npz", train=x[:100], valid=x[100:150], test=x[150:])
    run = tmp_path / "run"
    own = ["data.name=npz", f"data.path={tmp_path / 'data.npz'}"]
    assert run_here("model=nade", "model.hidden=8", *QUICK, *own, f"run_dir={run}") == 0
    shutil.move(tmp_path / "data.npz", tmp_path / "moved.npz")
    assert run_here("--resume", str(run), "trainer.max_epochs=2", f"data.path={tmp_path / 'moved.npz'}") == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for train, valid, test, answer in (
        (x[:100], 1 - x[100:150], x[150:], "other valid examples than before"),
        (x[:100], x[100:150], 1 - x[150:], "other test examples than before"),
        (x[:99], x[100:150], x[150:], "99 train examples, and 100 before"),
    ):
        np.savez(tmp_path / "moved.npz", train=train, valid=valid, test=test)
        error = refusal(capsys, "--resume", str(run), "trainer.max_epochs=3")
        assert f"the data are not those that it was trained on: {answer}" in error
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_real_data_may_differ_by_rounding_alone() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    of = fingerprint({"train": Split(x, np.arange(50) % 3)})
    assert changed(of, fingerprint({"train": Split(x * np.float32(1 + 1e-6), np.arange(50) % 3)})) is None
    assert changed(of, fingerprint({"train": Split(x * np.float32(1.1), np.arange(50) % 3)}))
    assert changed(of, fingerprint({"train": Split(x, np.arange(50) % 2)}))
    assert changed(of, fingerprint({"train": Split(x)}))
    assert changed(of, fingerprint({"train": Split((x > 0).astype(np.uint8), np.arange(50) % 3)}))


@pytest.mark.parametrize("key", ["lr: 0.1", "hidden: 8", "batch_size: 20", "seed: 0"])
def test_another_config_is_refused(
    key: str, overfitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(overfitted, tmp_path / "run")
    file = run / "config.yaml"
    name, _, value = key.partition(": ")
    text = file.read_text()
    assert f"{name}: {value}\n" in text
    file.write_text(text.replace(f"{name}: {value}\n", f"{name}: 2\n", 1))
    assert f"{name}=2" in (error := refusal(capsys, "--resume", str(run))) and "put it back" in error


def test_what_may_change_takes_effect(overfitted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(overfitted, tmp_path / "run")
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("max_epochs: 3", "max_epochs: 4"))
    assert run_here("--resume", str(run), "samples.n=9") == 0
    assert result(run)["epochs"] == 4


def test_the_patience_given_on_resume_counts(noise: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_here(*noise, "trainer.early_stopping=1", f"run_dir={run}") == 0
    assert result(run)["epochs"] == 2
    assert run_here("--resume", str(run)) == 0
    assert result(run)["epochs"] == 2, "it had stopped"
    assert run_here("--resume", str(run), "trainer.early_stopping=20", "trainer.max_epochs=6") == 0
    assert result(run)["epochs"] == 6


def test_training_goes_on_from_its_weights_once_they_are_not_averaged(tmp_path: Path) -> None:
    averaged, plain = tmp_path / "averaged", tmp_path / "plain"
    assert run_here(*NADE, f"run_dir={plain}") == 0
    assert run_here(*NADE, "trainer.ema=0.99", f"run_dir={averaged}") == 0
    assert not same(last(averaged)["state_dict"], last(plain)["state_dict"])
    for run in (averaged, plain):
        assert run_here("--resume", str(run), "trainer.ema=null", "trainer.max_epochs=2") == 0
    assert same(last(averaged)["state_dict"], last(plain)["state_dict"])


@pytest.mark.parametrize("steps", [4, 6])
def test_the_average_of_a_short_training_is_of_its_steps(steps: int, tmp_path: Path) -> None:
    """By the formulas of the docstring, in a training of three and of 4.5 times the memory of 4/3 steps."""
    weights = []
    for n in range(1, steps + 1):
        base = [*NADE, f"trainer.limit_train={steps}"]
        assert run_here(*base, f"trainer.max_steps={n}", f"run_dir={tmp_path / str(n)}") == 0
        weights.append(last(tmp_path / str(n))["state_dict"])
    assert run_here(*base, "trainer.ema=0.25", f"run_dir={tmp_path / 'ema'}") == 0
    average = weights[0]
    for n, new in enumerate(weights[1:], 1):
        decay = min(0.25, (1 + n) / (10 + n)) if steps == 4 else 0.25
        average = {k: decay * average[k] + (1 - decay) * w for k, w in new.items() if w.is_floating_point()}
    kept = last(tmp_path / "ema")["state_dict"]
    assert all(torch.allclose(kept[key], average[key], rtol=1e-5, atol=1e-7) for key in average)
