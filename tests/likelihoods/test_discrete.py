"""Levels are scored by a softmax, however the parameters lie in memory."""

import pytest
import torch

from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.discrete import Categorical


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
