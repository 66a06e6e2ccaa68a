"""Levels are scored by a softmax, however the parameters lie in memory; two of them by one logit."""

import math

import pytest
import torch
import torch.nn.functional as F

from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.discrete import Bernoulli, Categorical


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("last", [False, True], ids=["levels before sites", "levels last"])
def test_scores_and_gradients_are_those_of_a_softmax(channels: int, last: bool) -> None:
    torch.manual_seed(0)
    likelihood = Categorical(DataSpec((channels, 3, 2), 5))
    x = torch.randint(5, (4, channels, 3, 2))
    logits = torch.randn(4, channels, 5, 3, 2, dtype=torch.float64)
    expected = logits.log_softmax(2).gather(2, x[:, :, None])[:, :, 0]
    params = logits.flatten(1, 2)
    if last:  # the same numbers
        params = logits.movedim(2, -1).contiguous().movedim(-1, 2).flatten(1, 2)
        assert channels > 1 or params.stride(1) == 1
    params.requires_grad_()
    scores = likelihood.log_prob(params, x)
    torch.testing.assert_close(scores, expected)
    scores.sum().backward()
    grad = torch.zeros_like(logits).scatter_(2, x[:, :, None], 1.0) - logits.softmax(2)
    torch.testing.assert_close(params.grad, grad.flatten(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_binary_values_are_scored_with_and_without_gradients_alike(dtype: torch.dtype) -> None:
    logits = torch.cat([torch.linspace(-120, 120, 4001), torch.tensor([1e-30, math.inf, -math.inf])]).to(dtype)
    likelihood, ones = Bernoulli(DataSpec((1, 1), levels=2)), torch.ones(4004, dtype=torch.long)
    exact = F.logsigmoid(logits.double())
    for t in (logits, logits.clone().requires_grad_()):
        found = likelihood.log_prob(t, ones).double()
        torch.testing.assert_close(found, exact, rtol=4 * torch.finfo(dtype).eps, atol=1e-37)
