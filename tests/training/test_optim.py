"""Optimizers and schedules by name: each trains, and each schedule is the curve that it says."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from ar_lightning.config.registry import OPTIMIZERS, SCHEDULES
from ar_lightning.training.optim import adam, adamw, constant, cosine, exponential, sgd
from tests.support.commands import QUICK, result, run_here


def fast(names: Iterable[str], *few: str) -> list[Any]:
    """Return parameters of a test, all but a few of them slow."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in names]


def rates(schedule: object, steps: int, **options: object) -> list[float]:
    optimizer = sgd([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    built = schedule(optimizer, steps, **options)  # type: ignore[operator]
    seen = []
    for _ in range(steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if built:
            built["scheduler"].step()
    return seen


def test_curves() -> None:
    assert rates(constant, 3) == [2, 2, 2, 2]
    assert rates(constant, 4, warmup_steps=2) == [1, 2, 2, 2, 2]
    half = rates(cosine, 10)
    assert half[0] == 2 and half[5] == pytest.approx(1) and half[10] == pytest.approx(0)
    warm = rates(cosine, 10, warmup_steps=4, final=0.1)
    assert warm[:4] == pytest.approx([0.5, 1, 1.5, 2]) and warm[10] == pytest.approx(0.2)
    assert rates(exponential, 2, gamma=0.5) == [2, 1, 0.5]


@pytest.mark.parametrize("optimizer", fast(OPTIMIZERS, "adam", "muon"))
def test_optimizer_lowers_the_loss(optimizer: str, tmp_path: Path) -> None:
    few = [option for option in QUICK if not option.startswith(("trainer.limit", "trainer.max"))]
    rate = {"sgd": 0.01, "adagrad": 0.03, "muon": 0.02}.get(optimizer, 0.003)
    options = [f"optimizer={optimizer}", f"optimizer.lr={rate}", "trainer.max_epochs=3", "samples.every=0"]
    assert run_here("model=nade", "model.hidden=20", *few, *options, f"run_dir={tmp_path / 'run'}") == 0
    assert result(tmp_path / "run")["test/bpd"] < 2.6  # the level it starts from is above 4


def trained(optimizer: Any, parameters: list[torch.nn.Parameter], steps: int, seed: int = 0) -> list[torch.Tensor]:
    """Take steps along random gradients; return the parameters."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach().clone() for p in parameters]


def two_parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.linspace(-1, 1, n)) for n in (7, 40)]


PLAIN = {adam: torch.optim.Adam, adamw: torch.optim.AdamW}


@pytest.mark.parametrize("optimizer", PLAIN)
@pytest.mark.parametrize("first_fused", [True, False])
def test_adam_in_one_kernel_is_adam_and_goes_on_from_either(optimizer: Any, first_fused: bool) -> None:
    """Checkpoints of versions that had many kernels are resumed, and the other way."""
    kinds = [optimizer, PLAIN[optimizer]] if first_fused else [PLAIN[optimizer], optimizer]
    options = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    expected, ours = two_parameters(), two_parameters()
    plain = PLAIN[optimizer](expected, fused=False, **options)
    first, second = (kind(ours, **options) for kind in kinds)
    assert bool(first.defaults["fused"]) == first_fused
    torch.testing.assert_close(trained(first, ours, 5), trained(plain, expected, 5))
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(trained(second, ours, 5, 1), trained(plain, expected, 5, 1))


@pytest.mark.parametrize("schedule", fast(SCHEDULES, "plateau"))
def test_schedule_runs_and_resumes(schedule: str, tmp_path: Path) -> None:
    options = ["trainer.max_epochs=2", "trainer.val_every=2"]
    assert run_here("model=nade", *QUICK, *options, f"schedule={schedule}", f"run_dir={tmp_path / 'run'}") == 0
    assert run_here("--resume", str(tmp_path / "run"), "trainer.max_epochs=4") == 0
    assert result(tmp_path / "run")["epochs"] == 4


OPTIONS: dict[str, tuple[list[str], int]] = {  # and the optimizer steps after which the training ends
    "accumulate": (["trainer.accumulate=3", "trainer.max_epochs=2"], 2),
    "max_steps": (["trainer.max_steps=4", "trainer.max_epochs=9"], 4),
    "early_stopping": (["trainer.early_stopping=1", "trainer.max_epochs=9", "optimizer.lr=1e-12"], 6),
    "max_hours": (["trainer.max_hours=1e-9", "trainer.max_epochs=9"], 1),
    "gradient_clip": (["trainer.gradient_clip=1e-9", "optimizer=sgd", "trainer.max_epochs=1"], 3),
}


@pytest.mark.parametrize("name", fast(OPTIONS, "accumulate", "early_stopping"))
def test_trainer_options_do_what_they_say(name: str, tmp_path: Path) -> None:
    quick = [option for option in QUICK if "limit_train" not in option and "max_epochs" not in option]
    base = ["model=nade", *quick, "data.batch_size=479", "samples.every=0"]  # three steps an epoch
    options, steps = OPTIONS[name]
    assert run_here(*base, *options, f"run_dir={tmp_path / 'run'}") == 0
    assert result(tmp_path / "run")["steps"] == steps
    if name == "gradient_clip":
        assert result(tmp_path / "run")["test/bpd"] > 4, "clipped to nothing, it has learnt nothing"


def test_a_diverged_training_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steep = ["optimizer=sgd", "optimizer.lr=1e30"]
    assert run_here("--config", "conf/rnade.yaml", *QUICK, *steep, f"run_dir={tmp_path / 'run'}") == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: the training diverged") and "optimizer.lr" in error
    assert "\n" not in error


def test_data_that_cannot_be_had_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ar_lightning.data.datasets.mnist import BinarizedMNIST

    monkeypatch.setattr(BinarizedMNIST, "base_url", "http://127.0.0.1:9/")
    options = ["data=binarized_mnist", f"data.data_dir={tmp_path / 'nothing'}"]
    assert run_here("model=nade", *QUICK, *options, f"run_dir={tmp_path / 'run'}") == 2
    assert "binarized_mnist_train.amat" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
