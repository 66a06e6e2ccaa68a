"""Examples that end where they end: every invariant of a density, and that nothing after an end matters."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from scipy.stats import chisquare

from ar_lightning.core.spec import DataSpec
from ar_lightning.density.lengths import after_end, blank, lengths_of
from ar_lightning.inference.codec.codec import decode, encode
from ar_lightning.inference.features.features import Pool, representations
from tests.support.cases import ENDS, ENDS_CASES, FRAMES, Case, each_network, every_value, seeded
from tests.support.cases import cover as covering

END = 2
every_case = pytest.mark.parametrize("case", ENDS_CASES, ids=str)
SINGLE = [case for case in ENDS_CASES if case.members == 1]
FREE = ("rnn", "wavenet", "rnn_nade")
ANY_LENGTH = [case for case in SINGLE if case.model in FREE and not case.options.get("position")]
FREE_ORDER = {"order": "raster", "position": False}
ANY_LENGTH += [Case("transformer", "categorical", spec, FREE_ORDER) for spec in (ENDS, FRAMES)]


@cache
def every_string(spec: DataSpec) -> torch.Tensor:
    """All strings of up to three symbols, and all starts of four of longer ones, `(31, 1, 4)`; the same of frames."""
    x, end = every_value(spec), spec.end
    assert end is not None
    return x[~(after_end(x, end) & (x != blank(x, end))).flatten(1).any(1)]


STRINGS = every_string(ENDS)


def test_there_are_as_many_strings_as_there_should_be() -> None:
    assert len(STRINGS) == 1 + 2 + 4 + 8 + 16
    assert len(every_string(FRAMES)) == 1 + 4 + 16 + 64


@every_case
@torch.no_grad()
def test_all_strings_and_the_starts_of_longer_ones_add_up_to_one(case: Case) -> None:
    density, x, end = case.build(), every_string(case.spec), case.spec.end
    assert end is not None
    labels = torch.ones(len(x), dtype=torch.long) if case.conditional else None
    log_p = density.log_prob(x, labels)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert density.terms(x, labels)[after_end(x, end)].abs().max() == 0
    sizes = ((x[:, :1] != end).sum((1, 2)) * x.shape[1] + 1).clamp(max=case.spec.dims)
    assert torch.equal(density.scored(x).flatten(1).sum(1), sizes)
    if case.members == 1 or bool((density.model.orders == density.model.orders[0]).all()):
        conditionals = density.conditionals(x, labels)
        assert conditionals.log_prob(x).flatten(1).sum(1).tolist() == pytest.approx(log_p.tolist(), abs=1e-6)


@every_case
@torch.no_grad()
def test_streaming_draws_what_a_full_pass_draws_in_any_batch(case: Case) -> None:
    """Examples that have ended are left out of what is computed; the others go on as if they were still there."""
    density, n = case.build(), 40
    noise, cond = density.noise(n, seeded(1)), case.labels(n)
    x = density.sample(n, cond, noise=noise)
    density.check_values(x)
    assert len(lengths_of(x, case.spec.end or 0).unique()) > 1
    assert torch.equal(x, density.sample(n, cond, noise=noise, naive=True))
    few = [2, 11, 39]
    given = None if cond is None else cond[few]  # type: ignore[index, call-overload]
    assert torch.equal(x[few], density.sample(3, given, noise=noise[few]))


@pytest.mark.parametrize("case", covering(SINGLE, each_network), ids=str)
@torch.no_grad()
def test_samples_have_the_density(case: Case) -> None:
    density, n, strings = case.build(), 4000, every_string(case.spec)
    labels = torch.ones(n, dtype=torch.long) if case.conditional else None
    drawn = density.sample(n, labels, generator=seeded(3))
    counts = torch.stack([(drawn == string).flatten(1).all(1).sum() for string in strings])
    assert counts.sum() == n
    expected = n * density.log_prob(strings, None if labels is None else labels[: len(strings)]).exp()
    often = expected > 5
    observed = [*counts[often].tolist(), counts[~often].sum().item()]
    assert chisquare(observed, [*expected[often].tolist(), expected[~often].sum().item() + 1e-9]).pvalue > 1e-4


@every_case
@torch.no_grad()
def test_partners_and_padding_change_no_score(case: Case) -> None:
    """A string has one score: alone, beside longer ones, and where there is room for more."""
    density, x = case.build(), every_string(case.spec)
    labels = case.labels(len(x))
    together = density.log_prob(x, labels)
    alone = [density.log_prob(x[i : i + 1], None if labels is None else labels[i : i + 1]) for i in range(len(x))]  # type: ignore[index]
    assert torch.cat(alone).tolist() == pytest.approx(together.tolist(), abs=1e-6)


@pytest.mark.parametrize("case", ANY_LENGTH, ids=str)
@torch.no_grad()
def test_a_longer_bound_leaves_strings_that_ended_as_they_were(case: Case) -> None:
    density, longer = case.build(), case.on(replace(case.spec, shape=(case.spec.shape[0], 7))).build()
    longer.load_state_dict(density.state_dict())
    x, end = every_string(case.spec), case.spec.end
    assert end is not None
    ended = x[(x[:, 0] == end).any(1)]
    padded = torch.cat([ended, blank(ended, end)[..., -1:].repeat(1, 1, 7 - x.shape[2])], 2)
    labels = case.labels(len(ended))
    assert longer.log_prob(padded, labels).tolist() == pytest.approx(density.log_prob(ended, labels).tolist(), abs=1e-6)


@every_case
@torch.no_grad()
def test_a_start_is_completed_and_an_end_stays_the_end(case: Case) -> None:
    density, n = case.build(), 60
    if case.spec == ENDS:
        known = torch.tensor([[[1, 0, END, END]], [[1, 0, 0, 1]]])
        mask = torch.tensor([[[True, True, True, False]], [[True, True, False, False]]])
    else:
        known = torch.tensor([[[0, 1, 1], [1, 0, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0], [1, 0, 0]]])
        mask = torch.tensor([[True, True, False], [True, False, False]])[:, None].repeat(1, 3, 1)
    known, mask = known.repeat(n // 2, 1, 1), mask.repeat(n // 2, 1, 1)
    x = density.sample(n, case.labels(n), known, mask, generator=seeded(5))
    density.check_values(x)
    assert torch.equal(x[mask], known[mask]) and bool((x[::2] == known[::2]).all())
    assert len(x[1::2].unique(dim=0)) > 1


@pytest.mark.parametrize("case", covering(ENDS_CASES, lambda case: {(case.model,)}), ids=str)
def test_a_code_takes_as_many_bits_as_the_density_says(case: Case) -> None:
    """What follows an end takes none."""
    density = case.build()
    x = density.sample(300, case.labels(300), generator=seeded(7))
    cond = case.labels(300)
    data = encode(density, x, cond)
    decoded = decode(density, data, len(x))
    assert torch.equal(decoded.x, x)
    with torch.no_grad():
        bits = -sum(density.log_prob(x, cond).tolist()) / 0.6931471805599453
    bits += 300 * (1.584962500721156 * case.conditional + density.model.members // 2 * 1.6)
    assert 8 * len(data) < bits + 64 + 0.02 * bits


@pytest.mark.parametrize(
    "case", covering([case for case in SINGLE if case.spec == ENDS], lambda case: {(case.model,)})[-4:], ids=str
)
@pytest.mark.parametrize("pool", ["mean", "max", "last", "none"])
def test_features_look_at_nothing_after_an_end(case: Case, pool: Pool) -> None:
    density = case.build()
    x = STRINGS[lengths_of(STRINGS, END) == 3]  # two symbols and an end
    together = representations(density, x, pool=pool)
    beside = representations(density, torch.cat([x, STRINGS[-1:]]), pool=pool)
    assert torch.allclose(together, beside[:-1], atol=1e-6)
    if pool == "none":
        assert together.unflatten(1, (4, -1))[:, 3].abs().max() == 0


def test_what_follows_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a value follows the end"):
        next(case for case in SINGLE if case.spec == ENDS).build().log_prob(torch.tensor([[[1, END, 0, END]]]))
    for frames in ([[0, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [0, 0, 1]]):
        with pytest.raises(ValueError, match="a value follows the end"):
            Case("rnn_nade", "bernoulli", FRAMES).build().log_prob(torch.tensor([frames]))
