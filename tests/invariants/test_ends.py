"""Examples that end where they end: every invariant of a density, and that nothing after an end matters."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare

from ar_lightning.density.lengths import after_end, lengths_of
from ar_lightning.inference.codec.codec import decode, encode
from ar_lightning.inference.features.features import Pool, representations
from tests.support.cases import ENDS, ENDS_CASES, Case, each_network, every_value, seeded
from tests.support.cases import cover as covering

END = 2
every_case = pytest.mark.parametrize("case", ENDS_CASES, ids=str)
SINGLE = [case for case in ENDS_CASES if case.members == 1]
ANY_LENGTH = [case for case in SINGLE if case.model in ("rnn", "wavenet") and not case.options.get("position")]
ANY_LENGTH.append(Case("transformer", "categorical", ENDS, {"order": "raster", "position": False}))


def every_string() -> torch.Tensor:
    """All strings of up to three symbols, and all starts of four of longer ones: `(31, 1, 4)`."""
    x = every_value(ENDS)
    return x[~(after_end(x, END) & (x != END)).flatten(1).any(1)]


STRINGS = every_string()


def test_there_are_as_many_strings_as_there_should_be() -> None:
    assert len(STRINGS) == 1 + 2 + 4 + 8 + 16


@every_case
@torch.no_grad()
def test_all_strings_and_the_starts_of_longer_ones_add_up_to_one(case: Case) -> None:
    density = case.build()
    labels = torch.ones(len(STRINGS), dtype=torch.long) if case.conditional else None
    log_p = density.log_prob(STRINGS, labels)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert density.terms(STRINGS, labels)[after_end(STRINGS, END)].abs().max() == 0
    assert torch.equal(density.scored(STRINGS).flatten(1).sum(1), lengths_of(STRINGS, END).flatten())
    if case.members == 1 or bool((density.model.orders == density.model.orders[0]).all()):
        conditionals = density.conditionals(STRINGS, labels)
        assert conditionals.log_prob(STRINGS).flatten(1).sum(1).tolist() == pytest.approx(log_p.tolist(), abs=1e-6)


@every_case
@torch.no_grad()
def test_streaming_draws_what_a_full_pass_draws_in_any_batch(case: Case) -> None:
    """Examples that have ended are left out of what is computed; the others go on as if they were still there."""
    density, n = case.build(), 40
    noise, cond = density.noise(n, seeded(1)), case.labels(n)
    x = density.sample(n, cond, noise=noise)
    density.check_values(x)
    assert len(lengths_of(x, END).unique()) > 1
    assert torch.equal(x, density.sample(n, cond, noise=noise, naive=True))
    few = [2, 11, 39]
    given = None if cond is None else cond[few]  # type: ignore[index, call-overload]
    assert torch.equal(x[few], density.sample(3, given, noise=noise[few]))


@pytest.mark.parametrize("case", covering(SINGLE, each_network), ids=str)
@torch.no_grad()
def test_samples_have_the_density(case: Case) -> None:
    density, n = case.build(), 4000
    labels = torch.ones(n, dtype=torch.long) if case.conditional else None
    drawn = density.sample(n, labels, generator=seeded(3))[:, 0]
    counts = torch.stack([(drawn == string).all(1).sum() for string in STRINGS[:, 0]])
    assert counts.sum() == n
    expected = n * density.log_prob(STRINGS, None if labels is None else labels[: len(STRINGS)]).exp()
    often = expected > 5
    observed = [*counts[often].tolist(), counts[~often].sum().item()]
    assert chisquare(observed, [*expected[often].tolist(), expected[~often].sum().item() + 1e-9]).pvalue > 1e-4


@every_case
@torch.no_grad()
def test_partners_and_padding_change_no_score(case: Case) -> None:
    """A string has one score: alone, beside longer ones, and where there is room for more."""
    density, labels = case.build(), case.labels(len(STRINGS))
    together = density.log_prob(STRINGS, labels)
    alone = [
        density.log_prob(STRINGS[i : i + 1], None if labels is None else labels[i : i + 1]) for i in range(len(STRINGS))
    ]  # type: ignore[index]
    assert torch.cat(alone).tolist() == pytest.approx(together.tolist(), abs=1e-6)


@pytest.mark.parametrize("case", ANY_LENGTH, ids=str)
@torch.no_grad()
def test_a_longer_bound_leaves_strings_that_ended_as_they_were(case: Case) -> None:
    density, longer = case.build(), case.on(replace(ENDS, shape=(1, 7))).build()
    longer.load_state_dict(density.state_dict())
    ended = STRINGS[(STRINGS == END).any(2)[:, 0]]
    padded = torch.nn.functional.pad(ended, (0, 3), value=END)
    labels = case.labels(len(ended))
    assert longer.log_prob(padded, labels).tolist() == pytest.approx(density.log_prob(ended, labels).tolist(), abs=1e-6)


@every_case
@torch.no_grad()
def test_a_start_is_completed_and_an_end_stays_the_end(case: Case) -> None:
    density, n = case.build(), 60
    known = torch.tensor([[[1, 0, END, END]], [[1, 0, 0, 1]]]).repeat(n // 2, 1, 1)
    mask = torch.tensor([[[True, True, True, False]], [[True, True, False, False]]]).repeat(n // 2, 1, 1)
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


@pytest.mark.parametrize("case", covering(SINGLE, lambda case: {(case.model,)})[-3:], ids=str)
@pytest.mark.parametrize("pool", ["mean", "max", "last", "none"])
def test_features_look_at_nothing_after_an_end(case: Case, pool: Pool) -> None:
    density = case.build()
    x = STRINGS[lengths_of(STRINGS, END)[:, 0] == 3]  # two symbols and an end
    together = representations(density, x, pool=pool)
    beside = representations(density, torch.cat([x, STRINGS[-1:]]), pool=pool)
    assert torch.allclose(together, beside[:-1], atol=1e-6)
    if pool == "none":
        assert together.unflatten(1, (4, -1))[:, 3].abs().max() == 0


def test_what_follows_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a value follows the end"):
        SINGLE[0].build().log_prob(torch.tensor([[[1, END, 0, END]]]))
