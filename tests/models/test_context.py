"""Vectors that are given with an example: every model that reads labels reads them too, at the same place."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ar_lightning.config.build import build_density
from ar_lightning.config.checks import check_model
from ar_lightning.config.registry import MODELS, find
from ar_lightning.config.schema import schema_of
from ar_lightning.core.condition import Condition, as_condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec, Shapes
from ar_lightning.density.density import Density
from ar_lightning.inference.codec.codec import decode, encode
from tests.invariants.test_causality import parameters
from tests.invariants.test_exactness import assert_frequencies
from tests.support.cases import (
    CONTEXT,
    CONTEXT_CASES,
    CONTEXT_SPECS,
    Case,
    each,
    every_value,
    random_values,
    seeded,
)

READS = {model for model in MODELS if schema_of(MODELS[model]).attributes.get("reads_context")}
LEVELS = [case for case in CONTEXT_CASES if case.spec.levels]


def both(case: Case, n: int) -> Condition:
    """What n examples are given, all of them the same vector and label."""
    given = as_condition(case.labels(1))
    return Condition(*(None if t is None else t.expand(n, *t.shape[1:]) for t in given))


def test_models_that_read_labels_read_vectors_but_for_tables_of_logits() -> None:
    assert {case.model for case in CONTEXT_CASES} == READS
    with_labels = {model for model in MODELS if "conditional" in schema_of(MODELS[model]).fields}
    assert with_labels - READS == {"independent", "markov", "table"}


@pytest.mark.parametrize("model", ["independent", "markov", "table"])
def test_tables_of_logits_refuse_vectors(model: str) -> None:
    spec = CONTEXT_SPECS[0]
    with pytest.raises(UserError, match=r"does not read the vectors \(context\) of mine: choose .*deep_nade, "):
        check_model({"name": model, "conditional": True}, spec, "mine")
    with pytest.raises(ValueError, match=r"reads labels, and not the vectors \(context\)"):
        find("model", model)(Shapes((1, 3), classes=2, context=2), conditional=True)
    assert find("model", model)(Shapes((1, 3), classes=2, context=2)).context == 0


def test_a_model_that_is_to_be_conditional_needs_a_label_or_a_vector() -> None:
    with pytest.raises(ValueError, match=r"needs labels or vectors \(context\), and the data has neither"):
        find("model", "nade")(Shapes((1, 3)), conditional=True)
    with pytest.raises(UserError, match=r"needs labels or vectors \(context\), and mine has neither"):
        check_model({"name": "nade", "conditional": True}, DataSpec((1, 3), 2), "mine")


@each(CONTEXT_CASES)
def test_a_vector_reaches_every_site_but_for_what_never_varied(case: Case) -> None:
    density = case.build()
    x, given = random_values(case.spec, 4), both(case, 4)
    assert given.context is not None
    before = parameters(density, x, given)
    varied = parameters(density, x, given._replace(context=given.context + torch.tensor([20.0, 0.0, 0.0])))
    constant = parameters(density, x, given._replace(context=given.context + torch.tensor([0.0, 0.0, 9.0])))
    assert (varied != before).any(2).any(0).all() and torch.equal(constant, before)


@each(CONTEXT_CASES)
def test_the_gradient_reaches_the_map_of_a_vector(case: Case) -> None:
    density = case.build()
    for k in range(case.members):
        with density.member(k):
            density.terms(random_values(case.spec, 20), case.labels(20), k).sum().backward()
    maps = {name: p.grad for name, p in density.named_parameters() if name.endswith(".context")}
    assert maps
    for name, gradient in maps.items():
        assert gradient is not None and gradient[:2].ne(0).any(1).all() and not gradient[2].any(), name


@each(LEVELS)
@torch.no_grad()
def test_probabilities_given_a_vector_sum_to_one(case: Case) -> None:
    density, x = case.build(), every_value(case.spec)
    assert density.log_prob(x, both(case, len(x))).logsumexp(0).item() == pytest.approx(0, abs=1e-10)


@each(LEVELS)
@torch.no_grad()
def test_sample_frequencies_match_the_probabilities_given_a_vector(case: Case) -> None:
    density, x = case.build(), every_value(case.spec)
    drawn = density.sample(4000, both(case, 4000), generator=seeded(1))
    assert_frequencies(density, drawn, x, density.log_prob(x, both(case, len(x))))


@each(CONTEXT_CASES)
@torch.no_grad()
def test_the_units_of_a_vector_do_not_matter(case: Case) -> None:
    """The data's mean and deviation are kept with the density, which is given vectors as the data has them."""
    density, x, given = case.build(), random_values(case.spec, 6), as_condition(case.labels(6))
    other = replace(case.spec, context=tuple((1000 * mean + 5, 1000 * std) for mean, std in CONTEXT))
    moved = Density(density.model, density.likelihood, other).double().eval()
    assert given.context is not None
    scaled = moved.log_prob(x, given._replace(context=1000 * given.context + 5))
    torch.testing.assert_close(scaled, density.log_prob(x, given), rtol=1e-4, atol=1e-4)


def test_what_is_given_must_fit() -> None:
    case = CONTEXT_CASES[0]
    density, x, given = case.build(), random_values(case.spec, 3), as_condition(case.labels(3))
    assert given.context is not None
    wrong = {"none": None, "fewer": given.context[:2], "narrower": given.context[:, :2], "flat": given.context[0]}
    for context in wrong.values():
        for call in (density.log_prob, lambda x, cond: density.sample(len(x), cond)):
            with pytest.raises(ValueError, match=r"give `cond`, a Condition with context \(3, 3\)"):
                call(x, given._replace(context=context))
    with pytest.raises(ValueError, match="NaN or infinite"):
        density.log_prob(x, given._replace(context=given.context.index_fill(1, torch.tensor(1), torch.nan)))


def test_every_class_is_scored_given_the_same_vector() -> None:
    case = next(case for case in CONTEXT_CASES if case.spec.classes)
    density, x, given = case.build(), random_values(case.spec, 5), as_condition(case.labels(5))
    by_class = density.class_log_probs(x, given)
    for y in range(case.spec.classes):
        assert torch.equal(by_class[:, y], density.log_prob(x, given._replace(labels=torch.full((5,), y))))


@pytest.mark.parametrize("case", [LEVELS[0], LEVELS[-1]], ids=str)
def test_a_code_is_read_with_the_vectors_it_was_written_with(case: Case) -> None:
    density, x, given = case.build(torch.float32), random_values(case.spec, 9), as_condition(case.labels(9))
    assert given.context is not None
    code = encode(density, x, given)
    assert torch.equal(decode(density, code, 9, context=given.context).x, x)
    for context in (None, given.context[:3]):
        with pytest.raises(ValueError, match=r"give `context` \(9, 3\)"):
            decode(density, code, 9, context=context)


def test_a_spec_keeps_what_vectors_are_standardised_by() -> None:
    spec = CONTEXT_SPECS[1]
    plain = spec.to_dict()
    assert DataSpec.from_dict(plain) == spec and plain["context"] == [list(pair) for pair in CONTEXT]
    assert "context" not in replace(spec, context=()).to_dict(), "as older versions wrote it"
    for wrong in ([[0.0]], [[0.0, -1.0]], [[float("nan"), 1.0]], [["a", 1.0]]):
        with pytest.raises((ValueError, TypeError)):
            DataSpec.from_dict(plain | {"context": wrong})


def test_a_density_that_reads_no_vectors_asks_for_none() -> None:
    options = {"hidden": 5, "activation": "sigmoid", "dropout": 0.0, "order": "raster", "order_seed": 0, "block": 2}
    density = trained_nade(options, CONTEXT_SPECS[0], conditional=False)
    assert density.spec.context == () and density.eval().log_prob(random_values(density.spec, 3)).shape == (3,)
    assert "vectors" not in repr(density)
    density = trained_nade(options, CONTEXT_SPECS[0], conditional=True)
    assert "p(x | u)" in repr(density) and "vectors of 3 numbers" in repr(density)


def trained_nade(options: dict[str, object], spec: DataSpec, conditional: bool) -> Density:
    model = {"name": "nade", **options, "conditional": conditional}
    return build_density({"model": model, "likelihood": {"name": "auto"}}, spec)


def test_a_density_learns_what_a_vector_says() -> None:
    """Every value is 1 with the logit that is a number of the vector: the entropy given it is known."""
    torch.manual_seed(0)
    u = 50 + 4 * torch.randn(2000, 2)
    logits = (u[:, :1] - 50).expand(-1, 6)
    x = (torch.rand(2000, 6) < logits.sigmoid()).long()[:, None]
    truth = binary_cross_entropy_with_logits(logits, x[:, 0].float(), reduction="none").sum(1).mean().item()
    moments = tuple(zip(u.mean(0).tolist(), u.std(0).tolist(), strict=True))
    spec, nll = DataSpec((1, 6), 2, context=moments), {}
    options = {"hidden": 20, "activation": "sigmoid", "dropout": 0.0, "order": "raster", "order_seed": 0, "block": 8}
    for conditional in (True, False):
        density = trained_nade(options, spec, conditional)
        optimizer = torch.optim.Adam(density.parameters(), lr=0.03)
        for _ in range(300):
            optimizer.zero_grad()
            density.loss(x, Condition(context=u)).mean().backward()
            optimizer.step()
        nll[conditional] = -density.eval().log_prob(x, Condition(context=u)).mean().item()
    assert nll[True] < nll[False] - 0.3
    assert nll[True] < truth + 0.1
