"""Dropout from random bits is dropout: its rate, its scale, independent draws, and the gradient of what is kept."""

import pytest
import torch

from ar_lightning.nn.kernels.dropout import dropout


@pytest.mark.parametrize("p", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_numbers_are_dropped_at_the_rate_and_the_others_are_scaled(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = dropout(torch.ones(1001, 101, dtype=dtype), p)
    kept = y != 0
    assert y[kept].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-2 if dtype == torch.bfloat16 else 1e-4)
    deviation = (p * (1 - p) / kept.numel()) ** 0.5
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=5 * deviation)


@pytest.mark.parametrize("distance", range(1, 9))
def test_draws_are_independent(distance: int) -> None:
    """Also those that share 64 random bits."""
    torch.manual_seed(0)
    kept = (dropout(torch.ones(200_000), 0.5) != 0).double() - 0.5
    assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 5 * 0.25 / 200_000**0.5


def test_the_gradient_is_of_what_is_kept() -> None:
    x = torch.randn(7, 9, dtype=torch.float64, requires_grad=True)
    y = dropout(x, 0.5)
    y.sum().backward()
    assert torch.equal(x.grad * x, y) and set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_nothing_is_dropped_out_of_training_or_at_the_rate_zero() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(dropout(x, 0.5, training=False), x)
    assert torch.equal(dropout(x, 0.0), x)


def test_a_seed_repeats_what_is_dropped() -> None:
    x = torch.ones(5, 77)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(dropout(x, 0.5))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_rates_close_to_one_leave_numbers_finite() -> None:
    assert dropout(torch.ones(100), 1 - 1e-9).isfinite().all()
