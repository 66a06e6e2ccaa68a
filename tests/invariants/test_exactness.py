"""The probabilities are probabilities, and the sampler draws from them."""

from dataclasses import replace
from math import log

import pytest
import torch
from scipy.stats import chisquare

from ar_lightning.config.registry import MODELS
from ar_lightning.config.schema import schema_of
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import loop_of
from tests.invariants.test_causality import parameters
from tests.support.cases import (
    CASES,
    CONTEXT_CASES,
    EVERY_CASE,
    LARGE_CASES,
    Case,
    cover,
    each,
    each_statistic,
    every_value,
    random_values,
    seeded,
)

SAMPLES = 8000
DRAWN = cover(CASES, each_statistic)
# Several orders cannot all begin with what is known, unless they may be chosen anew: see test_deep_nade.
COMPLETED = cover([case for case in CASES if not {"vary_order", "ensemble"} & case.options.keys()], each_statistic)


@each(CASES)
def test_probabilities_sum_to_one(case: Case) -> None:
    x = every_value(case.spec)
    for label in range(case.spec.classes if case.conditional else 1):
        cond = torch.full((len(x),), label) if case.conditional else None
        with torch.no_grad():
            total = case.build().log_prob(x, cond).logsumexp(0)
        assert total.item() == pytest.approx(0, abs=1e-10)


class Recorder(Draw):
    """Records the parameters it is shown, site by site."""

    def __call__(self, params: torch.Tensor, site: int, earlier: torch.Tensor | None = None) -> torch.Tensor:
        self.seen[site] = params
        return super().__call__(params, site, earlier)

    def begin(self, x: torch.Tensor, order: torch.Tensor) -> int:
        return 0  # everything is known here, and would be read at once

    seen: dict[int, torch.Tensor]


@each(EVERY_CASE + LARGE_CASES + CONTEXT_CASES)
@torch.no_grad()
def test_streaming_equals_the_full_forward(case: Case) -> None:
    density, n = case.build(torch.float32), 5
    x, cond = random_values(case.spec, n), case.labels(n)
    x = x.float() if x.is_floating_point() else x
    everything = torch.ones(n, case.spec.dims, dtype=torch.bool)
    for k in range(case.members):
        with density.member(k):
            draw = Recorder(density.likelihood, density.noise(n), x.flatten(1), everything, 1.0)
            draw.seen = {}
            fed = loop_of(density.model)(density.model, draw, torch.zeros_like(x), density.condition_of(cond))
            streamed = torch.stack([draw.seen[site] for site in range(case.spec.dims)], 1)
            assert torch.equal(fed, x)
            assert (streamed - parameters(density, x, cond)).abs().max() <= 1e-5


@each(EVERY_CASE + LARGE_CASES + CONTEXT_CASES)
def test_same_seed_same_samples_in_both_loops_and_any_batch(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    density, n = case.build(), 16
    cond = case.labels(n)
    streamed = density.sample(n, cond, generator=seeded(3))
    rounding = 0 if case.spec.levels else 1e-8
    assert torch.allclose(streamed, density.sample(n, cond, generator=seeded(3), naive=True), rtol=0, atol=rounding)
    assert not torch.allclose(streamed, density.sample(n, cond, generator=seeded(4)), rtol=0, atol=rounding)
    known, mask = random_values(case.spec, n), torch.zeros(case.spec.dims, dtype=torch.bool)
    mask[density.model.order[: 2 * case.spec.dims // 3]] = True  # these are read at once, where a model can
    parts = (
        density.sample(n, cond, known, mask.view(case.spec.shape), generator=seeded(3), naive=naive)
        for naive in (False, True)
    )
    assert torch.allclose(*parts, rtol=0, atol=rounding)
    monkeypatch.setattr("ar_lightning.density.density.BATCH", 7)
    assert torch.allclose(streamed, density.sample(n, cond, generator=seeded(3)), rtol=0, atol=rounding)


def assert_frequencies(density: Density, drawn: torch.Tensor, x: torch.Tensor, log_p: torch.Tensor) -> None:
    """Chi-square test of draws against the probabilities of all values `x`."""
    levels = density.spec.levels or 0
    place = levels ** torch.arange(density.spec.dims)
    assert drawn.dtype == torch.long and drawn.min() >= 0 and drawn.max() < levels
    index = {int(code): i for i, code in enumerate((x.flatten(1) * place).sum(1))}
    counts = torch.zeros(len(x), dtype=torch.float64)
    for code, count in zip(*(drawn.flatten(1) * place).sum(1).unique(return_counts=True), strict=True):
        assert int(code) in index, "a value that has no probability was drawn"
        counts[index[int(code)]] += count
    expected = log_p.double().exp() * len(drawn)
    rare = expected < 5  # the chi-square approximation wants larger cells
    observed = torch.cat([counts[~rare], counts[rare].sum()[None]])
    wanted = torch.cat([expected[~rare], expected[rare].sum()[None]])
    keep = wanted > 0
    assert chisquare(observed[keep], wanted[keep] * observed[keep].sum() / wanted[keep].sum()).pvalue > 1e-4


@each(DRAWN)
@torch.no_grad()
def test_sample_frequencies_match_the_probabilities(case: Case) -> None:
    density = case.build()
    x = every_value(case.spec)
    label = 1
    many, cond = (torch.full((n,), label) if case.conditional else None for n in (SAMPLES, len(x)))
    assert_frequencies(density, density.sample(SAMPLES, many, generator=seeded(1)), x, density.log_prob(x, cond))


@pytest.mark.parametrize("case", COMPLETED, ids=str)
@torch.no_grad()
def test_completions_follow_the_conditional(case: Case) -> None:
    density = case.build()
    if case.members > 1:
        for p in density.parameters():
            p *= 3  # members that agree on what is known would hide which of them is chosen
    mask = torch.zeros(case.spec.dims, dtype=torch.bool)
    mask[density.model.order[: case.spec.dims // 2]] = True
    mask = mask.view(case.spec.shape)
    known = random_values(case.spec, 1, seed=5)
    x = every_value(case.spec)
    x = x[(x == known)[:, mask].all(1)]
    many, cond = (torch.full((n,), 2) if case.conditional else None for n in (SAMPLES, len(x)))
    drawn = density.sample(SAMPLES, many, known.expand(SAMPLES, *case.spec.shape), mask, generator=seeded(2))
    assert (drawn == known)[:, mask].all()
    log_p = density.log_prob(x, cond)
    assert_frequencies(density, drawn, x, log_p - log_p.logsumexp(0))


def tempered(density: Density, x: torch.Tensor, cond: torch.Tensor | None, temperature: float) -> torch.Tensor:
    """Return log p of all values `x` (N, *shape) when each conditional is raised to 1 / temperature and normalised."""
    members = [tempered_member(density, k, x, cond, temperature) for k in range(density.model.members)]
    return torch.stack(members).logsumexp(0) - log(len(members))


def tempered_member(
    density: Density, k: int, x: torch.Tensor, cond: torch.Tensor | None, temperature: float
) -> torch.Tensor:
    """Do so for one member of a density."""
    with density.member(k):
        order, params = density.model.order, density.model(density.encode(x), cond)
    levels = density.spec.levels or 0
    values = x.flatten(1)[:, order]
    terms = density.likelihood.log_prob(params, x).flatten(1)[:, order] / temperature  # log p(x_i | x_<i) / T
    total = torch.zeros(len(x), dtype=terms.dtype)
    for i in range(density.spec.dims):
        before = (values[:, :i] * levels ** torch.arange(i)).sum(1)  # numbers the prefixes
        sums = torch.zeros(levels**i, dtype=terms.dtype).index_add(0, before, terms[:, i].exp())
        times = levels ** (density.spec.dims - i - 1)  # that each value of site i occurs after a prefix
        total += terms[:, i] - (sums / times).log()[before]
    return total


@each(DRAWN)
@torch.no_grad()
def test_temperature_tempers_every_conditional(case: Case) -> None:
    density, n = case.build(), SAMPLES // 2
    x = every_value(case.spec)
    many, cond = (torch.full((k,), 1) if case.conditional else None for k in (n, len(x)))
    assert torch.allclose(tempered(density, x, cond, 1.0), density.log_prob(x, cond))
    for temperature in (0.5, 2.0):
        drawn = density.sample(n, many, temperature=temperature, generator=seeded(6))
        assert_frequencies(density, drawn, x, tempered(density, x, cond, temperature))


@each(cover(CASES, lambda case: {case.model}))
def test_streaming_leaves_no_trace(case: Case) -> None:
    from ar_lightning.nn.streaming import Streaming, streaming

    density = case.build()
    before = set(density.state_dict())
    with pytest.raises(ZeroDivisionError), streaming(density.model):
        assert set(density.state_dict()) == before
        raise ZeroDivisionError
    assert all(m.past is None for m in density.modules() if isinstance(m, Streaming))
    density.train()
    with pytest.raises(RuntimeError, match="eval mode"), streaming(density.model):
        pass
    x = density.sample(2, case.labels(2))
    assert density.training
    (x * density.loss(x, case.labels(2)).sum()).sum().backward()  # a training may read what was drawn


WITH_DROPOUT = [name for name in MODELS if "dropout" in schema_of(MODELS[name]).fields]


@pytest.mark.parametrize("model", WITH_DROPOUT)
def test_dropout_is_for_training(model: str) -> None:
    """Then it changes the likelihood of an example at each call; what is scored and drawn afterwards has none."""
    case = next(case for case in EVERY_CASE if case.model == model)
    density = replace(case, options=case.options | {"dropout": 0.5}).build()
    x, cond = random_values(case.spec, 20), case.labels(20)
    with torch.no_grad():
        scored, again = density.log_prob(x, cond), density.log_prob(x, cond)
        density.train()
        losses = [density.loss(x, cond) for _ in range(2)]
    assert torch.equal(scored, again)
    assert not torch.equal(*losses)
