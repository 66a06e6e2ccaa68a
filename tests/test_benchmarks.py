"""What the benchmarks compare is the same density: the straightforward references give the likelihoods of ours."""

import pytest
import torch

from benchmarks.works import WORKS, density_of


@pytest.mark.parametrize("name", [name for name, work in WORKS.items() if work.plain])
def test_the_reference_computes_the_same_likelihood(name: str) -> None:
    torch.manual_seed(0)
    work = WORKS[name].small()
    density = density_of(work)
    for p in density.parameters():  # also what starts at zero: biases, initial states
        torch.nn.init.normal_(p, std=0.2)
    plain = work.plain(density)
    x = work.examples(3)
    nats = density.loss(x)
    torch.testing.assert_close(plain(x), nats, rtol=1e-5, atol=1e-3)
    assert nats.std() > 0  # not a constant
