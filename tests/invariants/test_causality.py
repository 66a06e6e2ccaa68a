"""A model's parameters at a site depend on earlier values only, and on all the earlier values it claims to see."""

from dataclasses import replace

import pytest
import torch

from ar_lightning.config.registry import MODELS
from ar_lightning.config.schema import schema_of
from ar_lightning.core.condition import Given
from ar_lightning.density.density import Density
from tests.support.cases import (
    CONTEXT_CASES,
    EVERY_CASE,
    LARGE_CASES,
    Case,
    changed_value,
    cover,
    each,
    each_network,
    random_values,
    seeded,
)

UNSEEN = {"independent": 0, "markov": 1}  # how many values back a model sees, where that is not all of them


def changes(density: Density, x: torch.Tensor, cond: Given) -> torch.Tensor:
    """Return `(D, D)`: whether the parameters of site i change with value j, by trying every value there, or two."""
    spec = density.spec
    changed = torch.zeros(spec.dims, spec.dims, dtype=torch.bool)
    before = parameters(density, x, cond)
    for j in range(spec.dims):
        for step in range(1, spec.levels or 3):
            other = changed_value(spec, x, j, step)
            changed[:, j] |= (parameters(density, other, cond) != before).flatten(2).any(2).any(0)
    return changed


def parameters(density: Density, x: torch.Tensor, cond: Given) -> torch.Tensor:
    """Return the likelihood's parameters per value: `(B, D, P)`."""
    params = density.model(density.encode(x), density.condition_of(cond))
    return per_value(density, params)


def per_value(density: Density, params: torch.Tensor) -> torch.Tensor:
    """Return `(B, D, P)`; where channels are modelled jointly, the same parameters for all of a site."""
    groups, channels = density.model.shapes.groups, density.spec.shape[0]
    grouped = params.view(len(params), groups, density.likelihood.params, -1).repeat_interleave(channels // groups, 1)
    return grouped.transpose(2, 3).flatten(1, 2)


def in_order(matrix: torch.Tensor, density: Density) -> torch.Tensor:
    order = density.model.order
    return matrix[order][:, order]


def jacobian(density: Density, x: torch.Tensor) -> torch.Tensor:
    """Return `(D, D)`: the size of the gradient of site i's parameters with respect to the encoded value j.

    The parameters are added up with random weights, so that no gradients cancel.
    """
    spec = density.spec
    z = density.encode(x).requires_grad_()
    weights = torch.randn(density.likelihood.params, dtype=torch.float64, generator=seeded())
    rows = []
    for i in range(spec.dims):
        output = per_value(density, density.model(z))[0, i] @ weights
        (gradient,) = torch.autograd.grad(output, z, allow_unused=True)
        # Tables look values up: they have no gradient, the test of every value covers them.
        gradient = torch.zeros_like(z) if gradient is None else gradient
        rows.append(gradient.view(spec.shape[0], density.likelihood.inputs, -1).abs().sum(1).flatten())
    return torch.stack(rows)


@each(cover([c for c in LARGE_CASES + EVERY_CASE if not c.conditional], each_network))
def test_jacobian_is_strictly_lower_triangular(case: Case) -> None:
    density = case.build()
    for k in range(case.members):
        with density.member(k):
            assert not torch.triu(in_order(jacobian(density, random_values(case.spec, 1)), density)).any()


# What differs in a compiled graph: sites in turn, masked kernels, attention, dilated kernels.
TRACED = ("nade", "pixelcnn", "pixel_transformer", "wavenet")
COMPILED = [case for case in EVERY_CASE if case.model in TRACED and not case.conditional and case.spec.shape[0] == 3]
SHALLOW = {"layers": 1, "resnets": 1, "downsamplings": 1, "stacks": 1}  # compilation takes time for every layer


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=[] if case.model == "pixelcnn" else pytest.mark.slow)
        for case in cover(COMPILED, lambda case: {(case.model,)})
    ],
)
def test_compiled_model_is_as_causal(case: Case) -> None:
    """One case of each, in colour."""
    torch.compiler.reset()  # what was compiled for the case before would be generalised, not compiled again
    fields = schema_of(MODELS[case.model]).fields
    shallow = {key: value for key, value in SHALLOW.items() if key in fields}
    density = replace(case, options=case.options | shallow).build()
    x = random_values(case.spec, 1)
    eager = jacobian(density, x)
    density.model.compile(backend="aot_eager")
    assert torch.allclose(jacobian(density, x), eager, atol=1e-12)


@each(EVERY_CASE + LARGE_CASES + CONTEXT_CASES)
def test_every_claimed_value_counts_and_no_later_one(case: Case) -> None:
    density = case.build()
    x = random_values(case.spec, 8)
    distance = torch.arange(case.spec.dims)[:, None] - torch.arange(case.spec.dims)
    claimed = (distance > 0) & (distance <= UNSEEN.get(case.model, case.spec.dims))
    if density.model.shapes.joint:  # the parameters of a pixel are those of all its channels
        pixel = torch.arange(case.spec.dims) // case.spec.shape[0]
        claimed &= pixel[:, None] > pixel
    for k in range(case.members):
        with density.member(k):
            assert torch.equal(in_order(changes(density, x, case.labels(8)), density), claimed)


@each(case for case in EVERY_CASE if case.conditional)
def test_labels_reach_every_site(case: Case) -> None:
    density = case.build()
    x = random_values(case.spec, 4)
    one, two = (parameters(density, x, torch.full((4,), label)) for label in (0, 1))
    assert (one != two).any(2).any(0).all()
