"""Real values: the densities integrate to one, and the sampler draws from them.

By the inverse of Rosenblatt's transformation: if x is drawn from p, the distribution functions of its conditionals,
F(x_i | x_<i), are uniform on [0, 1]. They are integrated numerically here, from the scores alone.
"""

import pytest
import torch
from scipy.stats import kstest

from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from tests.invariants.test_causality import parameters
from tests.support.cases import CLASSES, REAL_CASES, Case, cover, each, each_statistic, random_values, seeded

SAMPLES = 1000
FINE = torch.linspace(-6, 6, 1601, dtype=torch.float64).sinh()  # to 200, densely around zero
GRID = FINE[::4]
COARSE = torch.linspace(-4, 4, 161, dtype=torch.float64).sinh()
GREY = [case for case in REAL_CASES if case.spec.shape[0] == 1 and not case.conditional]
# A mixture of orders has no conditionals in any.
SINGLE = cover([case for case in REAL_CASES if case.members == 1], each_statistic)
TEMPERED = cover(SINGLE, lambda case: {case.likelihood})  # the temperature is the likelihood's


def conditional(
    density: Density, params: torch.Tensor, temperature: float = 1.0, grid: torch.Tensor = GRID
) -> torch.Tensor:
    """Return p(x | params)^(1/T) at the points of the grid `(N, grid)`, of one value's parameters `(N, P)`."""
    score = density.likelihood.log_prob(params[..., None], grid.expand(len(params), 1, -1))[:, 0]
    return (score / temperature).exp()


def distribution(density: Density, params: torch.Tensor, x: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return F(x | params) at values `(N,)`, of the tempered conditional."""
    p = conditional(density, params, temperature)
    mass = torch.cumulative_trapezoid(p, GRID, dim=1)
    mass = torch.nn.functional.pad(mass, (1, 0)) / mass[:, -1:]
    right = torch.searchsorted(GRID, x.contiguous()).clamp(1, len(GRID) - 1)
    left = right - 1
    part = (x - GRID[left]) / (GRID[right] - GRID[left])
    below, above = (mass.gather(1, i[:, None])[:, 0] for i in (left, right))
    return below + part * (above - below)


def assert_uniform(density: Density, x: torch.Tensor, cond: torch.Tensor | None, temperature: float = 1.0) -> None:
    """Test samples `x` value by value: each F(x_i | x_<i) is uniform, and so are two neighbours' sums modulo one."""
    order = density.model.order
    params, values = parameters(density, x, cond)[:, order], x.flatten(1)[:, order]
    places = [distribution(density, params[:, i], values[:, i], temperature) for i in range(density.spec.dims)]
    for i, u in enumerate(places):
        assert kstest(u.numpy(), "uniform").pvalue > 1e-4, i
        if i:
            assert kstest(((u + places[i - 1]) % 1).numpy(), "uniform").pvalue > 1e-4, "two values are not independent"


@each(REAL_CASES)
@torch.no_grad()
def test_every_conditional_integrates_to_one(case: Case) -> None:
    density = case.build()
    params = parameters(density, random_values(case.spec, 8), case.labels(8)).flatten(0, 1)  # (8 D, P)
    mass = torch.trapezoid(conditional(density, params, grid=FINE), FINE)
    assert (mass - 1).abs().max() < 3e-3


@each(GREY)
@torch.no_grad()
def test_the_density_of_two_values_integrates_to_one(case: Case) -> None:
    density = case.on(DataSpec((1, 1, 2), None, CLASSES)).build()
    x = torch.cartesian_prod(COARSE, COARSE).view(-1, 1, 1, 2)
    p = density.log_prob(x, torch.ones(len(x), dtype=torch.long) if case.conditional else None).exp()
    total = torch.trapezoid(torch.trapezoid(p.view(len(COARSE), -1), COARSE), COARSE)
    assert total.item() == pytest.approx(1, abs=1e-2)


@each(SINGLE)
@torch.no_grad()
def test_samples_have_the_density(case: Case) -> None:
    density, cond = case.build(), case.labels(SAMPLES)
    assert_uniform(density, density.sample(SAMPLES, cond, generator=seeded(1)), cond)


@pytest.mark.parametrize("case", TEMPERED, ids=str)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
@torch.no_grad()
def test_samples_have_the_tempered_density(case: Case, temperature: float) -> None:
    density, cond = case.build(), case.labels(SAMPLES)
    x = density.sample(SAMPLES, cond, temperature=temperature, generator=seeded(1))
    assert_uniform(density, x, cond, temperature)


@each(SINGLE)
@torch.no_grad()
def test_completions_follow_the_conditional(case: Case) -> None:
    density, known, half = case.build(), random_values(case.spec, 1, seed=5), case.spec.dims // 2
    mask = torch.zeros(case.spec.dims, dtype=torch.bool)
    order = density.model.order
    mask[order[:half]] = True
    mask = mask.view(case.spec.shape)
    cond = case.labels(SAMPLES)
    drawn = density.sample(SAMPLES, cond, known.expand(SAMPLES, *case.spec.shape), mask, generator=seeded(2))
    assert (drawn == known)[:, mask].all()
    params, values = parameters(density, drawn, cond)[:, order], drawn.flatten(1)[:, order]
    for i in range(half, case.spec.dims):
        assert kstest(distribution(density, params[:, i], values[:, i]).numpy(), "uniform").pvalue > 1e-4, i
