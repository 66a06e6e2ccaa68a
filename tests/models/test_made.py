"""MADE is the paper's: masks that respect the order and waste nothing, averages of probabilities, one pass a sample."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ar_lightning.config.build import build_density
from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import sample_naive, sample_sequence
from ar_lightning.density.step import Step
from ar_lightning.models.made import MADE
from ar_lightning.nn.masked import MaskedMLP, reads, spread_degrees
from ar_lightning.nn.streaming import streaming
from tests.invariants.test_exactness import SAMPLES, assert_frequencies
from tests.support.cases import BINARY, CLASSES, SPECS, Case, every_value, random_values, seeded
from tests.support.marks import slow_but

MASKS = {"masks": 3, "order": "random"}
ORDERS = {**MASKS, "vary_order": True, "direct": True}
LIKELIHOODS = [
    ("bernoulli", SPECS["binary colours"], "auto"),
    ("categorical", SPECS["colours"], "auto"),
    ("categorical", SPECS["colours"], "one_hot"),
    ("discretized_logistic_mixture", DataSpec((3, 3, 1), 3, CLASSES), "auto"),
    ("gaussian_mixture", SPECS["real colours"], "auto"),
]
ENSEMBLES = [
    Case("made", likelihood, spec, options, encoding)
    for likelihood, spec, encoding in LIKELIHOODS
    for options in (MASKS, ORDERS, {**ORDERS, "conditional": True})
]


def dependencies(model: MADE) -> torch.Tensor:
    """Count the paths from each token to the parameters of each, in the order: the product of the masks."""
    degrees = model.unit_degrees()
    paths = torch.eye(len(degrees[0]), dtype=torch.float64)
    for above, below in zip(degrees[1:], degrees, strict=False):
        paths = reads(above, below).double() @ paths
    order = model.places().argsort()
    return paths[:: model.shapes.params, :: model.shapes.token_inputs][order][:, order]


@pytest.mark.parametrize("tokens", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("hidden", [1, 5, 11, 40, 83])
@pytest.mark.parametrize("options", [{}, {"masks": 3, "vary_order": True}], ids=str)
def test_no_path_leads_to_a_later_value_and_no_unit_is_wasted(
    tokens: int, hidden: int, options: dict[str, Any]
) -> None:
    model = MADE(Shapes((1, tokens), inputs=2, params=3), hidden=hidden, layers=3, **options)
    for k in range(model.members):
        model.member = k
        paths = dependencies(model)
        assert not paths.triu().any()
        assert not hidden >= tokens - 1 or paths.bool().tril(-1).sum() == tokens * (tokens - 1) // 2
        assert paths[1:].any(1).all() or hidden < tokens - 1
        if tokens == 1:
            continue  # nothing to read
        degrees = model.unit_degrees()
        for below, own, above in zip(degrees, degrees[1:], degrees[2:], strict=False):
            assert reads(own, below).any(1).all(), "a unit that reads nothing"
            assert reads(above, own).any(0).all(), "a unit that is read by none"


@pytest.mark.parametrize("units", [3, 9, 10, 25])
def test_degrees_are_spread_as_evenly_as_can_be(units: int) -> None:
    for generator in (None, seeded(1)):
        counts = spread_degrees(units, 10, 0, generator).bincount(minlength=9)
        assert counts.sum() == units and counts.max() - counts.min() <= 1


def test_a_mask_is_as_dense_as_the_order_allows() -> None:
    """Between layers of given degrees, every connection that is left out would let a value see a later one."""
    model = MADE(Shapes((1, 7)), hidden=9, layers=2)
    degrees = model.unit_degrees()
    lowest_seen = [d.clone() for d in degrees]  # the latest value that reaches a unit
    for i in range(1, len(degrees)):
        mask = reads(degrees[i], degrees[i - 1])
        latest = torch.where(mask, lowest_seen[i - 1], -1).amax(1)
        assert torch.equal(latest, degrees[i])  # it reads up to its degree
        assert (lowest_seen[i - 1].expand_as(mask)[~mask] > degrees[i][:, None].expand_as(mask)[~mask]).all()


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("options", [{}, ORDERS], ids=str)
def test_forward_is_the_papers_equations(activation: str, options: dict[str, Any]) -> None:
    """The masks of its degrees, unit by unit, in float64."""
    density = Case("made", "bernoulli", BINARY, {**options, "hidden": 8, "activation": activation}).build()
    x = random_values(BINARY, 5)
    f = torch.sigmoid if activation == "sigmoid" else torch.relu
    for k in range(density.model.members):
        with density.member(k):
            place = density.model.order.argsort()  # of each value in the order
            columns = density.model.orders[0]  # the value that each column of the weights belongs to
            degrees = [place[columns], *density.model.degrees[k]]
            h = x.flatten(1)[:, columns].double()
            inputs = h
            layers = density.model.units.layers
            for layer, below, own in zip(layers, degrees, degrees[1:], strict=False):
                mask = torch.tensor([[float(a >= b) for b in below] for a in own], dtype=torch.float64)
                h = f(layer.bias + h @ (layer.weight * mask).T)
            d = degrees[0]
            out = layers[-1].bias.repeat(5, 1)
            for i in range(BINARY.dims):
                for j in range(len(degrees[-1])):
                    if degrees[-1][j] < d[i]:
                        out[:, i] += layers[-1].weight[i, j] * h[:, j]
                for j in range(BINARY.dims):
                    if density.model.units.direct is not None and d[j] < d[i]:
                        out[:, i] += density.model.units.direct.weight[i, j] * inputs[:, j]
            expected = torch.empty_like(out)
            expected[:, columns] = out
            assert torch.allclose(density.model(density.encode(x)).flatten(1), expected, atol=1e-12)


def test_masked_weights_get_no_gradient() -> None:
    density = Case("made", "bernoulli", BINARY).build().train()
    density.loss(random_values(BINARY, 8)).sum().backward()
    degrees = density.model.unit_degrees()
    for layer, own, below in zip(density.model.units.layers, degrees[1:], degrees, strict=False):
        assert not layer.weight.grad[~reads(own, below)].any()


def masked(mlp: MaskedMLP, degrees: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Compute the outputs by the weights of now, and masks of the degrees of now."""
    for layer, own, below in zip(mlp.layers, degrees[1:], degrees, strict=False):
        x = F.linear(x, layer.weight * reads(own, below), layer.bias)
        x = x if layer is mlp.layers[-1] else x.relu()
    return x


CHANGES: dict[str, Callable[[MaskedMLP], Any]] = {
    "nothing": lambda mlp: None,
    "data": lambda mlp: [p.data.mul_(-2) for p in mlp.parameters()],
    "an optimizer": lambda mlp: torch.optim.Adam(mlp.parameters(), 0.1, fused=True).step(),
    "other weights": lambda mlp: mlp.load_state_dict({k: t + 1 for k, t in mlp.state_dict().items()}),
    "double": lambda mlp: mlp.double(),
    "a copy": copy.deepcopy,
    "a file": lambda mlp: pickle.loads(pickle.dumps(mlp)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("hidden", [20, 700])  # whole matrices, and stairs
def test_masks_and_weights_are_those_of_now(hidden: int, change: str) -> None:
    torch.manual_seed(0)
    tokens = torch.arange(400)
    degrees = [tokens, spread_degrees(hidden, 400), tokens - 1]
    mlp = MaskedMLP([400, hidden, 400], ascending=degrees)
    assert all((len(layer.stairs) > 1) == (hidden > 100) for layer in mlp.layers)
    for scoring in (True, False):
        with torch.set_grad_enabled(not scoring):
            mlp(torch.randn(3, 400))
    for p in mlp.parameters():
        p.grad = torch.ones_like(p)
    changed = CHANGES[change](mlp)
    mlp = changed if isinstance(changed, MaskedMLP) else mlp
    x = torch.randn(3, 400, dtype=mlp.layers[0].weight.dtype)
    for scoring in (True, False):
        with torch.set_grad_enabled(not scoring):
            torch.testing.assert_close(mlp(x), masked(mlp, degrees, x))


def test_masks_are_not_saved() -> None:
    assert set(MADE(Shapes((1, 6)), order="raster").units.state_dict()) == {
        f"layers.{i}.{name}" for i in range(3) for name in ("weight", "bias")
    }


def average(density: Density, x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of the members' probabilities."""
    members = []
    for k in range(density.model.members):
        with density.member(k):
            params = density.model(density.encode(x), cond)
        members.append(density.likelihood.log_prob(params, x).flatten(1).sum(1).exp())
    assert not torch.allclose(members[0], members[1])
    return torch.stack(members).mean(0)


@pytest.mark.parametrize("case", slow_but(ENSEMBLES[:3], ENSEMBLES), ids=str)
@torch.no_grad()
def test_members_average_probabilities_and_sum_to_one(case: Case) -> None:
    density = case.build()
    x = every_value(case.spec) if case.spec.levels else torch.randn(50, *case.spec.shape)
    cond = case.labels(len(x))
    assert torch.allclose(density.log_prob(x, cond).exp(), average(density, x, cond))
    if case.spec.levels:
        one = torch.full((len(x),), 1) if case.conditional else None
        assert density.log_prob(x, one).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("case", ENSEMBLES, ids=str)
@torch.no_grad()
def test_every_member_streams_what_it_computes_at_once(case: Case) -> None:
    density = case.build()
    n, cond = 20, case.labels(20)
    noise = torch.rand(n, case.spec.dims, density.likelihood.noise, generator=seeded(4))
    zeros = torch.zeros(n, *case.spec.shape, dtype=torch.long if case.spec.levels else torch.float64)
    draws = []
    for k in range(density.model.members):
        with density.member(k):
            draw = Draw(density.likelihood, noise.double(), dtype=torch.float64)
            one, two = (loop(density.model, draw, zeros.clone(), cond) for loop in (sample_sequence, sample_naive))
        assert torch.allclose(one, two, rtol=0, atol=1e-9)
        draws.append(one)
    assert not torch.equal(draws[0], draws[1])


@pytest.mark.parametrize("options", [MASKS, ORDERS], ids=str)
@torch.no_grad()
def test_samples_are_of_the_average(options: dict[str, Any]) -> None:
    case = Case("made", "bernoulli", BINARY, options)
    density, x = case.build(), every_value(BINARY)
    assert_frequencies(density, density.sample(SAMPLES, generator=seeded(1)), x, density.log_prob(x))


@torch.no_grad()
def test_completions_of_masks_that_share_an_order_follow_the_conditional() -> None:
    density, x = Case("made", "bernoulli", BINARY, MASKS).build(), every_value(BINARY)
    mask = torch.zeros(BINARY.dims, dtype=torch.bool)
    mask[density.model.order[:3]] = True
    mask = mask.view(BINARY.shape)
    known = random_values(BINARY, 1, seed=5).expand(SAMPLES, *BINARY.shape)
    fitting = x[(x == known[:1])[:, mask].all(1)]
    log_p = density.log_prob(fitting)
    drawn = density.sample(SAMPLES, known=known, mask=mask, generator=seeded(2))
    assert_frequencies(density, drawn, fitting, log_p - log_p.logsumexp(0))


def test_members_are_trained_in_turn() -> None:
    density = Case("made", "bernoulli", BINARY, ORDERS).build()
    x = random_values(BINARY, 6)
    for number in range(5):
        with density.member(number % 3):
            params = density.model(density.encode(x))
        expected = -density.likelihood.log_prob(params, x).flatten(1).sum(1)
        assert torch.allclose(density.loss(x, step=Step(number)), expected)


@torch.no_grad()
def test_every_hidden_unit_is_evaluated_once_a_sample() -> None:
    """As many multiplications as the masks have ones: a sample costs one forward pass, not one a value."""
    model = MADE(Shapes((1, 30)), hidden=50, layers=2, direct=True).eval()
    done = 0
    original = torch.addmm

    def counted(bias: torch.Tensor, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        nonlocal done
        done += weight.numel()
        return original(bias, weight, x)

    with pytest.MonkeyPatch.context() as patch, streaming(model):
        patch.setattr(torch, "addmm", counted)
        for _ in range(30):
            model.scan(torch.rand(4, 1, 1))
    degrees = model.unit_degrees()
    masks = [reads(own, below).sum().item() for own, below in zip(degrees[1:], degrees, strict=False)]
    assert done == sum(masks)


def test_random_masks_are_saved_and_a_single_one_is_not() -> None:
    def saved(**options: Any) -> set[str]:
        return set(MADE(Shapes((1, 6)), hidden=9, **options).state_dict())

    assert "degrees" in saved(masks=2) and "degrees" not in saved()
    assert "orders" in saved() and "orders" not in saved(order="raster")


def test_weights_belong_to_the_same_values_under_every_order() -> None:
    """An input of no weight is not read by any member: the columns move with the order."""
    density = Case("made", "bernoulli", BINARY, {**ORDERS, "direct": False}).build()
    column = int(density.model.orders[0].argsort()[4])
    density.model.units.layers[0].weight.data[:, column] = 0
    x = random_values(BINARY, 4)
    other = x.clone()
    other.view(4, -1)[:, 4] = 1 - other.view(4, -1)[:, 4]
    for k in range(3):
        with density.member(k):
            assert torch.equal(density.model(density.encode(x)), density.model(density.encode(other)))


def test_orders_can_only_vary_where_they_are_random() -> None:
    with pytest.raises(ValueError, match=r"order=random"):
        MADE(Shapes((1, 4)), order="raster", masks=2, vary_order=True)


def test_a_loaded_ensemble_is_the_same_whatever_masks_a_new_one_would_get() -> None:
    config = {"model": {"name": "made", "hidden": 9, "masks": 2, "vary_order": True}, "likelihood": {"name": "auto"}}
    one, two = (build_density({**config, "model": {**config["model"], "order_seed": s}}, BINARY) for s in (0, 7))
    two.load_state_dict(one.state_dict())
    x = random_values(BINARY, 5)
    assert torch.equal(one.eval().log_prob(x), two.eval().log_prob(x))


def test_degrees_do_not_exceed_what_an_mlp_of_one_value_has() -> None:
    mlp = MaskedMLP([1, 3, 2])
    out = mlp(torch.ones(2, 1), [torch.zeros(1), torch.zeros(3), torch.full((2,), -1)])
    assert torch.equal(out, mlp.layers[-1].bias.expand(2, 2))
    density = Case("made", "bernoulli", DataSpec((1, 1), 2)).build()
    assert density.log_prob(torch.tensor([[[0]], [[1]]])).logsumexp(0).item() == pytest.approx(math.log(1))
