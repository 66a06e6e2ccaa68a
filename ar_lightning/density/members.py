"""The members of a mixture: its density, and which of them a sample is drawn from."""

import math
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition
from ar_lightning.density.draw import Draw
from ar_lightning.likelihoods.base import choose

__all__ = ["draw_members", "log_mean"]


def log_mean(log_p: Tensor) -> Tensor:
    """Return the log of the mean of p over members, `(B,)`, by log p `(members, B)`."""
    return log_p[0] if len(log_p) == 1 else log_p.logsumexp(0) - math.log(len(log_p))


def draw_members(density: Any, draw: Draw, cond: Condition, u: Tensor) -> Tensor:
    """Draw the member `(B,)` of each sample by uniforms `(B, 1, ...)`, given what is known of the sample.

    A member is as likely as it makes those known values that come first in its order. What is known has the same
    probability under all members of one orderless network.
    """
    model = density.model
    if model.members == 1:
        return torch.zeros(len(draw.noise), dtype=torch.long)
    scores = torch.zeros(len(draw.noise), model.members, device=draw.noise.device)
    if draw.known is None or draw.mask is None or model.orderless:
        return choose(scores, u[:, 0, 0])
    known = draw.known.view(-1, *density.spec.shape)
    for k in range(model.members):
        terms = density.terms(known, cond, k).flatten(1)
        order = model.orders[k % len(model.orders)]
        first = draw.mask[:, order].long().cumprod(1)  # 1 until the first value that is not known
        scores[:, k] = (terms[:, order] * first).sum(1)
    return choose(scores, u[:, 0, 0])
