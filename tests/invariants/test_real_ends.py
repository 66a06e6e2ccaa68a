"""Frames of real channels that end where they end: a density over all lengths and values, read from left to right."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare

from ar_lightning.config.registry import LIKELIHOODS
from ar_lightning.density.density import Density
from ar_lightning.density.lengths import after_end, blank, lengths_of
from tests.invariants.test_densities import COARSE
from tests.support.cases import REAL_ENDS_CASES, REAL_FRAMES, Case, cover, random_values, seeded

ONE = replace(REAL_FRAMES, shape=(2, 2))  # at most two frames of one channel
each_case = pytest.mark.parametrize("case", REAL_ENDS_CASES, ids=str)
SINGLE = [case for case in REAL_ENDS_CASES if case.members == 1]
ANY_LENGTH = [
    case for case in SINGLE if case.model in ("rnn", "wavenet", "rnn_nade") and "position" not in case.options
]
MODELS = cover(SINGLE, lambda case: {(case.model,)})


def examples(n: int) -> torch.Tensor:
    """Examples of 0 to 3 frames, `(n, 3, 3)`."""
    x = random_values(REAL_FRAMES, n)
    x[:, 0] = (torch.arange(3) == torch.arange(n)[:, None] % 4).double()
    return torch.where(after_end(x, 1), blank(x, 1), x)


def masses(density: Density) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probabilities of 0 frames, of 1 and of 2 that have not ended `(3,)`, of examples of the spec `ONE`."""
    v = torch.cartesian_prod(COARSE, COARSE)
    none = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    one = torch.stack([torch.tensor([0.0, 1.0]).expand(len(COARSE), 2), torch.stack([COARSE, 0 * COARSE], 1)], 1)
    two = torch.stack([0 * v, v], 1)
    labels = torch.ones(1, dtype=torch.long) if density.conditional else None
    p = [density.log_prob(x, None if labels is None else labels.expand(len(x))).exp() for x in (none, one, two)]
    of_two = torch.trapezoid(torch.trapezoid(p[2].view(len(COARSE), -1), COARSE), COARSE)
    return torch.stack([p[0][0], torch.trapezoid(p[1], COARSE), of_two]), v


@each_case
@torch.no_grad()
def test_all_lengths_and_values_and_the_starts_of_longer_ones_have_probability_one(case: Case) -> None:
    mass, _ = masses(case.on(ONE).build())
    assert mass.sum().item() == pytest.approx(1, abs=1e-2)
    assert mass.min() > 1e-3


@pytest.mark.parametrize("likelihood", [name for name in LIKELIHOODS if name.endswith("mixture") and "log" not in name])
@torch.no_grad()
def test_lengths_are_drawn_as_often_as_the_density_says(likelihood: str) -> None:
    density, n = Case("rnn_nade", likelihood, ONE).build(), 4000
    sizes = (density.sample(n, generator=seeded(1))[:, 0] == 0).sum(1)
    expected = masses(density)[0]
    counts = torch.bincount(sizes, minlength=3)
    assert chisquare(counts, expected / expected.sum() * n).pvalue > 1e-4


@each_case
@torch.no_grad()
def test_streaming_draws_what_a_full_pass_draws_in_any_batch(case: Case) -> None:
    density, n = case.build(), 24
    noise, cond = density.noise(n, seeded(1)), case.labels(n)
    x = density.sample(n, cond, noise=noise)
    density.check_values(x)
    assert x.is_floating_point() and len(lengths_of(x, 1).unique()) > 1
    assert torch.allclose(x, density.sample(n, cond, noise=noise, naive=True), rtol=0, atol=1e-8)
    few = [2, 11, 23]
    given = None if cond is None else cond[few]  # type: ignore[index, call-overload]
    assert torch.allclose(x[few], density.sample(3, given, noise=noise[few]), rtol=0, atol=1e-8)


@each_case
@torch.no_grad()
def test_partners_and_padding_change_no_score(case: Case) -> None:
    density, x = case.build(), examples(8)
    labels = case.labels(len(x))
    together = density.log_prob(x, labels)
    alone = [density.log_prob(x[i : i + 1], None if labels is None else labels[i : i + 1]) for i in range(len(x))]  # type: ignore[index]
    assert torch.cat(alone).tolist() == pytest.approx(together.tolist(), abs=1e-9)
    terms = density.terms(x, labels)
    assert terms[after_end(x, 1)].abs().max() == 0
    sizes = ((x[:, 0] == 0).sum(1) * 3 + 1).clamp(max=9)
    assert torch.equal(density.scored(x).flatten(1).sum(1), sizes)


@pytest.mark.parametrize("case", ANY_LENGTH, ids=str)
@torch.no_grad()
def test_a_longer_bound_leaves_examples_that_ended_as_they_were(case: Case) -> None:
    density, longer = case.build(), case.on(replace(REAL_FRAMES, shape=(3, 7))).build()
    longer.load_state_dict(density.state_dict())
    x = examples(8)
    x = x[(x[:, 0] == 1).any(1)]
    padded = torch.cat([x, blank(x, 1)[..., -1:].repeat(1, 1, 4)], 2)
    labels = case.labels(len(x))
    assert longer.log_prob(padded, labels).tolist() == pytest.approx(density.log_prob(x, labels).tolist(), abs=1e-9)


@pytest.mark.parametrize("case", MODELS, ids=str)
@torch.no_grad()
def test_a_value_changes_the_terms_of_later_ones_alone(case: Case) -> None:
    density, x = case.build(), examples(4)[3:]  # three frames
    order = torch.arange(9).view(3, 3).T.flatten()  # frame after frame, its channels in turn
    for place, value in enumerate(order.tolist()):
        if value < 3:
            continue  # an end, after which is nothing
        other = x.clone()
        other.view(1, 9)[0, value] += 1
        changed = (density.terms(x, case.labels(1)) != density.terms(other, case.labels(1))).flatten()[order]
        assert not changed[:place].any() and changed[place]


@pytest.mark.parametrize("case", MODELS, ids=str)
@torch.no_grad()
def test_a_start_is_completed_and_an_end_stays_the_end(case: Case) -> None:
    density, n = case.build(), 20
    known = examples(4)[[1, 2]].repeat(n // 2, 1, 1)  # of one frame and of two
    mask = torch.tensor([[True, True, False], [True, False, False]])[:, None].repeat(n // 2, 3, 1)
    x = density.sample(n, case.labels(n), known, mask, generator=seeded(5))
    density.check_values(x)
    assert torch.equal(x[mask], known[mask]) and bool((x[::2] == known[::2]).all())
    assert len(x[1::2].unique(dim=0)) > 1


def test_what_is_no_example_is_refused() -> None:
    density = Case("rnn_nade", "gaussian_mixture", REAL_FRAMES).build()
    x = examples(4)
    for change, problem in (((1, 1, 2), "a value follows the end"), ((0, 0, 0), "whole numbers in 0..1")):
        wrong = x.clone()
        wrong[change] = 0.5
        with pytest.raises(ValueError, match=problem):
            density.log_prob(wrong)
    x[3, 1, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        density.log_prob(x)
    with pytest.raises(ValueError, match="two kinds"):
        density.conditionals(examples(4))
