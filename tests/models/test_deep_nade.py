"""Deep NADE is the paper's: one network for all orders, an unbiased objective, completion of any part from the rest."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from ar_lightning.core.spec import DataSpec
from ar_lightning.density.orderless import OrderlessDensity, orders_of
from ar_lightning.density.step import Step
from ar_lightning.models.deep_nade import BLOCK
from tests.invariants.test_exactness import SAMPLES, assert_frequencies
from tests.support.cases import BINARY, CLASSES, SPECS, Case, every_value, random_values, seeded

THREE = {"ensemble": 3}
LIKELIHOODS = [
    ("bernoulli", BINARY, "auto"),
    ("categorical", SPECS["colours"], "auto"),
    ("categorical", SPECS["colours"], "one_hot"),
    ("discretized_logistic_mixture", DataSpec((3, 3, 1), 3, CLASSES), "auto"),
    ("gaussian_mixture", SPECS["real colours"], "auto"),
]
ENSEMBLES = [
    Case("deep_nade", likelihood, spec, options, encoding)
    for likelihood, spec, encoding in LIKELIHOODS
    for options in (
        THREE,
        {**THREE, "conditional": True, "layers": 1},
        {**THREE, "input_masks": False, "activation": "relu"},
    )
]


def build(case: Case) -> OrderlessDensity:
    density = case.build()
    assert isinstance(density, OrderlessDensity)
    return density


def values(spec: DataSpec, n: int, seed: int = 0) -> Tensor:
    return random_values(spec, n, seed) if spec.levels else torch.randn(n, *spec.shape, generator=seeded(seed)).double()


def given(density: OrderlessDensity, x: Tensor, known: Tensor, cond: Tensor | None = None) -> Tensor:
    """Return log p(x_t | known tokens) `(B, tokens)`: the paper's network, masks written out."""
    model, shapes = density.model, density.model.shapes
    z = density.encode(x).view(len(x), shapes.groups, -1, shapes.sites).transpose(2, 3).flatten(1, 2)
    a = model.c + torch.einsum("bte,teh->bh", z * known[..., None], model.W)
    if model.U is not None:
        a = a + known.to(z.dtype) @ model.U
    if cond is not None:
        a = a + model.class_bias.weight[cond]
    f = model.activation
    h = f(a)
    for layer in model.layers:
        h = f(h @ layer.weight.T + layer.bias)
    out = torch.stack([model.b[t] + h @ model.V[t] for t in range(shapes.tokens)], 1)  # (B, tokens, P)
    params = out.view(len(x), shapes.groups, shapes.sites, -1).transpose(2, 3).reshape(len(x), -1, *x.shape[2:])
    return density.likelihood.log_prob(params, x).view(len(x), shapes.groups, -1, shapes.sites).sum(2).flatten(1)


def chain(density: OrderlessDensity, x: Tensor, order: list[int], cond: Tensor | None = None, start: int = 0) -> Tensor:
    """Return log p `(B,)` of the tokens from `start` on in an order: a pass of its own for each."""
    total = torch.zeros(len(x), dtype=torch.float64)
    known = torch.zeros(len(x), len(order), dtype=torch.bool)
    for i, token in enumerate(order):
        if i >= start:
            total = total + given(density, x, known, cond)[:, token]
        known = known.clone()
        known[:, token] = True
    return total


def tokens_in_order(density: OrderlessDensity, k: int) -> list[int]:
    order = orders_of(density.model, torch.tensor([k]), None)[0]
    return [int(t) for t in order]


@pytest.mark.parametrize("case", ENSEMBLES, ids=str)
@torch.no_grad()
def test_log_prob_averages_the_orders_probabilities(case: Case) -> None:
    density, n = build(case), 6
    x, cond = values(case.spec, n), case.labels(n)
    members = [chain(density, x, tokens_in_order(density, k), cond).exp() for k in range(3)]
    assert not torch.allclose(members[0], members[1])
    assert torch.allclose(density.log_prob(x, cond).exp(), torch.stack(members).mean(0))


@torch.no_grad()
def test_sites_in_blocks_are_the_sites_one_by_one() -> None:
    spec = DataSpec((1, 5, 2 * BLOCK // 5), 2)
    density = build(Case("deep_nade", "bernoulli", spec, {"layers": 3}))
    assert BLOCK < density.model.shapes.tokens < 2 * BLOCK
    x = random_values(spec, 4)
    assert torch.allclose(density.log_prob(x), chain(density, x, tokens_in_order(density, 0)))


@pytest.mark.parametrize("case", ENSEMBLES, ids=str)
def test_the_objective_is_the_papers_for_any_mask(case: Case) -> None:
    density, n = build(case), 9
    x, cond = values(case.spec, n), case.labels(n)
    tokens = density.model.shapes.tokens
    known = torch.rand(n, tokens, generator=seeded(2)) < 0.5
    known[:, 1] = False
    unknown = ~known
    expected = -(given(density, x, known, cond) * unknown).sum(1) * tokens / unknown.sum(1)
    assert torch.allclose(density.masked_nll(x, known, cond), expected)


@torch.no_grad()
def test_the_objective_is_an_unbiased_estimate_of_the_mean_over_orders() -> None:
    """Exactly: its mean over all D! orders and D places to cut them is the mean of -log p over all orders."""
    spec = DataSpec((1, 2, 2), 3)
    density = build(Case("deep_nade", "categorical", spec))
    x = random_values(spec, 5)
    losses, nlls = [], []
    for order in permutations(range(spec.dims)):
        nlls.append(-chain(density, x, list(order)))
        for d in range(spec.dims):
            known = torch.zeros(len(x), spec.dims, dtype=torch.bool)
            known[:, list(order[:d])] = True
            losses.append(density.masked_nll(x, known))
    assert torch.allclose(torch.stack(losses).mean(0), torch.stack(nlls).mean(0))


def test_training_draws_every_order_and_cut_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, n = DataSpec((1, 3), 2), 60_000
    density = build(Case("deep_nade", "bernoulli", spec))
    seen: list[Tensor] = []
    monkeypatch.setattr(density, "masked_nll", lambda x, known, cond: seen.append(known))
    density.loss(random_values(spec, n))
    counts = torch.zeros(8).index_add(0, (seen[0].long() * torch.tensor([4, 2, 1])).sum(1), torch.ones(n))
    sizes = torch.tensor([bin(i).count("1") for i in range(8)])
    # A mask of d known values: probability 1/3 for d = 0, 1, 2, and alike among those with the same d.
    expected = n / 3 / torch.tensor([1.0, 3.0, 3.0, 1.0])[sizes] * (sizes < 3)
    assert ((counts - expected).abs() <= 5 * expected.sqrt()).all()


def test_the_objective_does_not_depend_on_the_number_of_processes() -> None:
    density = build(Case("deep_nade", "bernoulli", BINARY))
    x = random_values(BINARY, 12)
    whole = density.loss(x, step=Step(3, seed=5))
    shares = [density.loss(x[r::2], step=Step(3, 5, r, 2)) for r in (0, 1)]
    assert torch.allclose(whole, torch.stack(shares, 1).flatten())
    assert not torch.allclose(whole, density.loss(x, step=Step(4, seed=5)))


def masks(case: Case, n: int) -> Tensor:
    """Random masks, of whole sites where the channels are modelled jointly."""
    joint = case.likelihood == "discretized_logistic_mixture"
    shape = (n, 1 if joint else case.spec.shape[0], *case.spec.shape[1:])
    return (torch.rand(shape, generator=seeded(8)) < 0.5).expand(n, *case.spec.shape)


@pytest.mark.parametrize("case", ENSEMBLES, ids=str)
@torch.no_grad()
def test_conditionals_are_those_of_the_known_values_first(case: Case) -> None:
    """Whatever the mask, and in whichever order the known values are visited."""
    density, n = build(case), 5
    x, cond, mask = values(case.spec, n), case.labels(n), masks(case, n)
    shapes = density.model.shapes
    scored = density.conditional_log_prob(x, mask, cond)
    known = mask.view(n, shapes.groups, -1, shapes.sites)[:, :, 0].flatten(1)
    for i in range(n):
        first = [t for t in range(shapes.tokens) if known[i, t]]
        members = []
        for k in range(3):
            rest = [t for t in tokens_in_order(density, k) if not known[i, t]]
            label = None if cond is None else cond[i : i + 1]
            members.append(chain(density, x[i : i + 1], [*first, *rest], label, len(first)))
        assert torch.allclose(scored[i : i + 1].exp(), torch.stack(members).exp().mean(0))


@pytest.mark.parametrize("case", [c for c in ENSEMBLES if c.spec.levels and c.spec.dims <= 6], ids=str)
@torch.no_grad()
def test_conditionals_sum_to_one(case: Case) -> None:
    density, x = build(case), every_value(case.spec)
    cond = torch.full((len(x),), 2) if case.conditional else None
    known = random_values(case.spec, 1, seed=5)
    for mask in masks(case, 6):
        fitting = (x == known)[:, mask].all(1)
        log_p = density.conditional_log_prob(x[fitting], mask, None if cond is None else cond[fitting])
        assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)
    nothing = torch.zeros(case.spec.shape, dtype=torch.bool)
    assert torch.allclose(density.conditional_log_prob(x, nothing, cond), density.log_prob(x, cond))
    assert not density.conditional_log_prob(x, ~nothing, cond).any()


@pytest.mark.parametrize("case", ENSEMBLES, ids=str)
def test_streaming_equals_naive_whatever_is_known(case: Case) -> None:
    density, n = build(case), 40
    x, cond, mask = values(case.spec, n), case.labels(n), masks(case, n)
    for known in ({}, {"known": x, "mask": mask}):
        drawn = density.sample(n, cond, **known, generator=seeded(3))
        naive = density.sample(n, cond, **known, generator=seeded(3), naive=True)
        assert torch.allclose(drawn, naive, rtol=0, atol=1e-9)
        assert not torch.equal(drawn, density.sample(n, cond, **known, generator=seeded(4)))
    assert torch.equal(drawn[mask], x[mask])


@torch.no_grad()
def test_samples_of_an_ensemble_are_of_the_average() -> None:
    density, x = build(Case("deep_nade", "bernoulli", BINARY, THREE)), every_value(BINARY)
    assert_frequencies(density, density.sample(SAMPLES, generator=seeded(1)), x, density.log_prob(x))


@torch.no_grad()
def test_completions_of_masks_of_their_own_follow_their_conditionals() -> None:
    """Two masks that no order of the ensemble begins with, mixed in one batch; probabilities by separate passes."""
    density, every = build(Case("deep_nade", "bernoulli", BINARY, THREE)), every_value(BINARY)
    chosen = torch.tensor([[1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0]]).bool().view(2, *BINARY.shape)
    for mask in chosen:
        for k in range(3):
            assert set(tokens_in_order(density, k)[:2]) != set(mask.flatten().nonzero()[:, 0].tolist())
    known = random_values(BINARY, 2, seed=5)
    which = torch.arange(2 * SAMPLES) % 2
    drawn = density.sample(2 * SAMPLES, known=known[which], mask=chosen[which], generator=seeded(2))
    for i, mask in enumerate(chosen):
        x = every[(every == known[i])[:, mask].all(1)]
        first = mask.flatten().nonzero()[:, 0].tolist()
        members = []
        for k in range(3):
            rest = [t for t in tokens_in_order(density, k) if t not in first]
            members.append(chain(density, x, [*first, *rest], start=2).exp())
        p = torch.stack(members).mean(0)
        assert p.sum().item() == pytest.approx(1)
        assert_frequencies(density, drawn[which == i], x, p.log())


def test_labels_and_values_are_checked() -> None:
    density = build(Case("deep_nade", "bernoulli", BINARY, {"conditional": True}))
    x = random_values(BINARY, 3)
    with pytest.raises(ValueError, match="3 labels"):
        density.conditional_log_prob(x, torch.tensor(True))
    with pytest.raises(ValueError, match="expected"):
        density.conditional_log_prob(x + 5, torch.tensor(True), torch.zeros(3, dtype=torch.long))
