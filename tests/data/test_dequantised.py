"""Uniform dequantisation: fresh in training, fixed in evaluation, and a bound in the units of the levels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ar_lightning.core.levels import levels_of
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.datasets.digits import Digits
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.transforms import Dequantised
from tests.support.cases import REAL_CASES, random_values
from tests.support.commands import QUICK, result, run_here


def batches(seed: int = 0) -> ArrayDataModule:
    return ArrayDataModule(Digits(), seed, batch_size=100, dequantise=True)


def test_values_lie_in_the_interval_of_their_level() -> None:
    plain, noisy = ArrayDataModule(Digits(), batch_size=100), batches()
    assert noisy.spec == DataSpec((1, 8, 8), None, 10, quantised=17)
    for name in ("train", "valid", "test"):
        levels, z = plain.split(name)[0], noisy.split(name)[0]
        assert z.dtype == torch.float32 and z.min() >= -1 and z.max() < 1
        assert torch.equal(levels_of(z, 17), levels)
    part = (batches().split("test")[0] + 1) * 17 / 2 % 1
    assert kstest(part.flatten().numpy(), "uniform").pvalue > 1e-3


def test_noise_is_fresh_in_training_and_fixed_in_evaluation() -> None:
    data = batches()
    torch.manual_seed(0)
    first, second = (torch.cat([x for x, _ in data.train_dataloader()]).sort(0).values for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(levels_of(first, 17), levels_of(second, 17))
    once, again = (
        torch.cat([x for x, _ in loader]) for loader in (data.test_dataloader(), batches().test_dataloader())
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, torch.cat([x for x, _ in batches(1).test_dataloader()]))


def test_flips_of_the_dataset_are_kept() -> None:
    torch.manual_seed(0)
    data = Dequantised(Digits())
    moved = data.augment(torch.zeros(500, 1, 8, 8))
    assert moved.abs().max() <= 1 / 17 and moved.std() > 0.5 / 17


def test_the_jacobian_makes_densities_those_of_levels() -> None:
    """A density that is uniform over the K levels of each value has log K nats a value, dequantised or not."""
    spec = DataSpec((1, 3), 5).dequantised()
    assert spec.log_volume == pytest.approx(3 * math.log(5 / 2))
    uniform = math.log(1 / 2)  # on [-1, 1]
    assert 3 * uniform - spec.log_volume == pytest.approx(-3 * math.log(5))


@torch.no_grad()
def test_log_prob_subtracts_it() -> None:
    case = next(c for c in REAL_CASES if c.model == "nade" and c.spec.shape == (1, 2, 2))
    plain, scaled = case.build(), case.on(DataSpec((1, 2, 2), 7, 3).dequantised()).build()
    x = random_values(case.spec, 5)
    assert torch.allclose(plain.log_prob(x) - 4 * math.log(7 / 2), scaled.log_prob(x))


def test_the_bound_holds_and_the_command_line_reports_it(tmp_path: Path) -> None:
    """An independent model of one value that is 0 or 1 with equal chances: no bound is below one bit."""
    np.savez(tmp_path / "d.npz", train=np.arange(400).reshape(-1, 1).repeat(2, 1) % 2)
    options = ["model=independent", "data=npz", f"data.path={tmp_path / 'd.npz'}", "data.dequantise=true"]
    quick = [o for o in QUICK if not o.startswith(("trainer.max_epochs", "trainer.limit"))]
    assert run_here(*options, *quick, "trainer.max_epochs=30", "optimizer.lr=0.1", f"run_dir={tmp_path / 'run'}") == 0
    assert 1 <= result(tmp_path / "run")["test/bpd"] < 1.5
    assert "dequantised" in result(tmp_path / "run")["regime"]


def test_real_values_cannot_be_dequantised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "d.npz", train=np.random.default_rng(0).normal(size=(40, 3)))
    assert run_here("model=nade", "data=npz", f"data.path={tmp_path / 'd.npz'}", "data.dequantise=true") == 2
    assert "no levels" in capsys.readouterr().err
