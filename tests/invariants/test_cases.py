"""The cases that the invariants run over cover all there are."""

from itertools import combinations

from ar_lightning.config.registry import LIKELIHOODS, MODELS
from tests.support.cases import (
    EVERY_CASE,
    FAST,
    LARGE,
    LARGE_CASES,
    POSSIBLE,
    SPECS,
    Case,
    cover,
    each_network,
    fits,
    pairs,
    possible,
)


def factors(case: Case) -> tuple[str, ...]:
    return case.model, case.likelihood, str(case.spec), str(case.options)


def test_every_model_likelihood_data_and_variant_meet_every_other_that_they_can() -> None:
    wanted = {pair for case in POSSIBLE for pair in combinations(factors(case), 2)}
    assert wanted == {pair for case in EVERY_CASE for pair in combinations(factors(case), 2)}
    together = {(m, lik, str(s)) for m in MODELS for lik in LIKELIHOODS for s in SPECS.values() if fits(m, lik, s)}
    assert {factors(case)[:3] for case in POSSIBLE} == together
    assert {case.model for case in EVERY_CASE} == set(MODELS)
    assert {case.likelihood for case in EVERY_CASE} == set(LIKELIHOODS)
    assert {case.spec for case in EVERY_CASE} == set(SPECS.values())
    assert len(EVERY_CASE) < len(POSSIBLE) / 4
    assert cover(POSSIBLE, pairs) == EVERY_CASE, "always the same ones"


def test_every_network_reads_large_images_in_each_variant() -> None:
    for case in possible(LARGE):
        assert each_network(case) <= {feature for chosen in LARGE_CASES for feature in each_network(chosen)}


def test_the_fast_tests_have_something_of_everything() -> None:
    for place in range(4):
        assert {factors(case)[place] for case in EVERY_CASE} <= {factors(case)[place] for case in FAST}
    assert {case.model for case in LARGE_CASES} == {case.model for case in FAST if case.spec in LARGE}
