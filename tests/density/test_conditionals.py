"""Conditionals are the factors of the chain rule: each is a distribution, and their product is the density."""

import math

import pytest
import torch

from ar_lightning.core.condition import Condition
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from tests.support.cases import BINARY, CLASSES, EVERY_CASE, Case, every_value, random_values

SEVERAL = {"vary_order", "ensemble"}  # options by which members differ in their orders
ONE_KIND = [case for case in EVERY_CASE if case.spec.support != "mixed"]
IN_ORDER = [case for case in ONE_KIND if not SEVERAL & set(case.options)]
WITHOUT = [case for case in ONE_KIND if SEVERAL & set(case.options)]
REAL = DataSpec((1, 2, 2), None, CLASSES)
UNITS = {
    "noise": DataSpec((1, 2, 2), None, CLASSES, quantised=7),
    "columns": DataSpec((1, 3), None, medium=Table(("a", "b", "c"), (0.0, 1.0, 2.0), (2.0, 3.0, 0.1), original=True)),
}


def data(case: Case, n: int = 6) -> tuple[torch.Tensor, torch.Tensor | None]:
    return random_values(case.spec, n, seed=3), case.labels(n)


@pytest.mark.parametrize("case", IN_ORDER, ids=str)
def test_their_product_is_the_density(case: Case) -> None:
    density, (x, cond) = case.build(), data(case)
    given = density.conditionals(x, cond)
    assert given.batch_shape == x.shape and not given.log_prob(x).requires_grad
    assert (given.log_prob(x).flatten(1).sum(1) - density.log_prob(x, cond)).abs().max() < 1e-5
    if case.spec.levels:
        probs = given.probs  # type: ignore[attr-defined]
        assert probs.shape == (*x.shape, case.spec.levels)
        assert (probs.sum(-1) - 1).abs().max() < 1e-9
        # Gathered by hand, as a user would: no level is in another's place.
        chosen = probs.gather(-1, x[..., None])[..., 0].log().flatten(1).sum(1)
        assert (chosen - density.log_prob(x, cond)).abs().max() < 1e-5


@pytest.mark.parametrize("case", IN_ORDER, ids=str)
def test_they_depend_on_nothing_but_the_values_before(case: Case) -> None:
    """A mixture's too, whose weights are made of scores: those of a value itself must not be among them."""
    density, (x, cond) = case.build(), data(case)
    order, half = density.model.order, case.spec.dims // 2
    changed = x.flatten(1).clone()
    changed[:, order[half:]] = random_values(case.spec, len(x), seed=8).flatten(1)[:, order[half:]]
    same = random_values(case.spec, len(x), seed=9)  # scored at the same values, given those before
    one, other = (density.conditionals(v.view_as(x), cond).log_prob(same) for v in (x, changed))
    first = order[: half + 1]
    assert (one.flatten(1)[:, first] - other.flatten(1)[:, first]).abs().max() < 1e-9


@pytest.mark.parametrize("case", [c for c in IN_ORDER if c.members > 1 and c.spec.levels], ids=str)
def test_those_of_a_mixture_are_ratios_of_its_marginals(case: Case) -> None:
    """By Bayes' rule from all probabilities there are: p(x_i | x_<i) = p(x_<=i) / p(x_<i)."""
    density = case.build()
    every = every_value(case.spec)
    p, order = density.log_prob(every).exp().detach(), density.model.order
    values, probs = every.flatten(1)[:, order], density.conditionals(every).log_prob(every).exp().flatten(1)[:, order]
    for i in range(case.spec.dims):
        same = (values[:, None, :i] == values[None, :, :i]).all(-1)
        both = same & (values[:, None, i] == values[None, :, i])
        assert torch.allclose(probs[:, i], (both * p).sum(1) / (same * p).sum(1), atol=1e-9)


@pytest.mark.parametrize("case", WITHOUT, ids=str)
def test_a_mixture_of_orders_has_none_but_its_members_do(case: Case) -> None:
    density, (x, cond) = case.build(), data(case)
    with pytest.raises(ValueError, match=r"different orders.*`member=0`"):
        density.conditionals(x, cond)
    members = range(density.model.members)
    scores = torch.stack([density.conditionals(x, cond, k).log_prob(x).flatten(1).sum(1) for k in members])
    assert torch.allclose(scores.logsumexp(0) - math.log(len(members)), density.log_prob(x, cond))
    with pytest.raises(ValueError, match=f"0..{len(members) - 1}"):
        density.conditionals(x, cond, len(members))
    assert density.model.member == 0


@pytest.mark.parametrize("spec", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("likelihood", ["gaussian_mixture", "laplace_mixture"])
def test_densities_are_per_unit_of_what_is_given(likelihood: str, spec: DataSpec) -> None:
    case = Case("rnade", likelihood, spec)
    density, (x, _) = case.build(), data(case)
    assert spec.log_volume != 0
    total = density.conditionals(x).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(total, density.log_prob(x) + spec.log_volume)


@pytest.mark.parametrize("likelihood", ["gaussian_mixture", "laplace_mixture"])
@pytest.mark.parametrize("options", [{}, {"masks": 3}], ids=str)
def test_real_values_can_be_drawn_from_them_and_have_moments(likelihood: str, options: dict[str, int]) -> None:
    case = Case("made", likelihood, REAL, options)
    density, (x, _) = case.build(), data(case, 2)
    given = density.conditionals(x)
    drawn = given.sample(torch.Size([4000]))
    error = given.stddev / 4000**0.5
    assert ((drawn.mean(0) - given.mean).abs() < 5 * error).all()


def test_features_are_given_too() -> None:
    spec = DataSpec((1, 6), 3, CLASSES, features=2)
    case = Case("wavenet", "categorical", spec, {"local": True})
    density, (x, _) = case.build(), data(case)
    cond = Condition(features=torch.randn(len(x), 2, 6))
    assert torch.allclose(density.conditionals(x, cond).log_prob(x).flatten(1).sum(1), density.log_prob(x, cond))


def test_what_is_wrong_is_said() -> None:
    density = Case("nade", "bernoulli", BINARY, {"conditional": True}).build()
    x = random_values(BINARY, 3)
    with pytest.raises(ValueError, match="3 labels"):
        density.conditionals(x)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        density.conditionals(x + 2, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="expected data"):
        density.conditionals(x[..., :1], torch.zeros(3, dtype=torch.long))
