"""Densities whose one network knows every order: their objective, and completion of any part from any other.

Uria, Murray & Larochelle, "A Deep and Tractable Density Estimator", ICML 2014.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, Given
from ar_lightning.density.density import Density, Step
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import sample_orderless, sample_orderless_naive
from ar_lightning.models.base import token_order

__all__ = ["OrderlessDensity", "orders_of"]


class OrderlessDensity(Density):
    """A density over a model that predicts every value given any others.

    `log_prob` is that of the model's orders, averaged as probabilities; training draws an order for every example.

    Completion is exact for every mask: a draw from p(unknown | known) of the distribution that visits the known values
    first, and then the unknown ones in the order of a member chosen at random. What is known has the same probability
    under all members then, in whichever one order it is visited, and says nothing about which member to choose. Another
    mask visits the values in another order, and so is of a slightly different distribution: one network's conditionals
    need not agree with each other. Where the channels of a site are modelled jointly and known in part, this holds for
    one such site, whose known channels come first.
    """

    def loss(self, x: Tensor, cond: Given = None, step: Step = Step()) -> Tensor:  # noqa: B008
        """Return an unbiased estimate `(B,)` of the mean over orders of -log p, in nats, from one pass.

        Each example has an order of its own, and a number d of values that are known, uniform over 0..D - 1. Where one
        pass gives all conditionals of an order, it is -log p in that order, which varies less.
        """
        tokens = self.model.shapes.tokens
        u = step.uniforms(len(x), tokens + 1).to(x.device)
        if self.model.one_pass:
            params = self.model.in_orders(self.encode(x), u[:, :-1].argsort(1), self.condition_of(cond))
            return -self.likelihood.log_prob(params, x).flatten(1).sum(1) + self.spec.log_volume
        place = u[:, :-1].argsort(1).argsort(1)  # of each token in a random order
        known = place < (u[:, -1:] * tokens).long().clamp(max=tokens - 1)
        return self.masked_nll(x, known, cond)

    def masked_nll(self, x: Tensor, known: Tensor, cond: Given = None) -> Tensor:
        """Return D / (D - d) times the sum over the D - d unknown of -log p(x_i | known), `(B,)` in nats.

        `known` are booleans `(B, tokens)`: at least one is False.
        """
        params = self.model(self.encode(x), self.condition_of(cond), known)
        terms = self.likelihood.log_prob(params, x)  # (B, C, *sites)
        unknown = ~known.view(len(x), self.model.shapes.groups, *x.shape[2:])
        weight = known.shape[1] / unknown.flatten(1).sum(1)
        return -weight * (terms * unknown).flatten(1).sum(1) + self.spec.log_volume

    def conditional_log_prob(self, x: Tensor, mask: Tensor, cond: Given = None) -> Tensor:
        """Return log p(unknown | known) `(B,)` of what `sample` completes, in nats; of real values per unit of x.

        Args:
            x: data values `(B, C, *sites)`.
            mask: booleans that broadcast to it: True where a value is known.
            cond: labels `(B,)` of a conditional density.

        Raises:
            ValueError: as `log_prob`.
        """
        self.check_values(x)
        self.check_condition(len(x), cond)
        mask = mask.to(x.device).expand_as(x)
        scores = []
        for k in range(self.model.members):
            orders = orders_of(self.model, torch.full((len(x),), k), mask)
            params = self.model.in_orders(self.encode(x), orders, self.condition_of(cond))
            scores.append((self.likelihood.log_prob(params, x) * ~mask).flatten(1).sum(1))
        return torch.stack(scores).logsumexp(0) - math.log(len(scores))

    def completes(self, mask: Tensor) -> bool:
        """Whether completion is exact where `mask` is known: always."""
        return True

    def fill(self, draw: Draw, x: Tensor, cond: Condition, u: Tensor, naive: bool = False) -> Tensor:
        """Fill a batch, each example in an order of its own: known values first."""
        mask = None if draw.mask is None else draw.mask.view_as(x)
        orders = orders_of(self.model, self.draw_members(draw, cond, u), mask)
        loop = sample_orderless_naive if naive else sample_orderless
        return loop(self.model, draw, x, orders, self.condition_of(cond))


def orders_of(model: Any, members: Tensor, mask: Tensor | None) -> Tensor:
    """Return the order `(B, tokens)` of each example: known tokens first, then those of its member's order."""
    every = torch.stack([token_order(order, model.shapes) for order in model.orders])
    orders = every[members.to(every.device)]
    if mask is None:
        return orders
    known = mask.view(len(mask), model.shapes.groups, -1, *mask.shape[2:]).long().sum(2).flatten(1)
    return orders.gather(1, known.gather(1, orders).argsort(dim=1, descending=True, stable=True))
