"""Densities whose one network knows every order: their objective, and completion of any part from any other.

Uria, Murray & Larochelle, "A Deep and Tractable Density Estimator", ICML 2014.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, Given
from ar_lightning.density.density import Density
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import sample_orderless, sample_orderless_naive
from ar_lightning.density.members import draw_members
from ar_lightning.density.step import Step
from ar_lightning.models.orders import token_order

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

    Examples may be incomplete: what is missing is neither read nor scored, and `log_prob` is log p(what is there).
    """

    def loss(self, x: Tensor, cond: Given = None, step: Step = Step()) -> Tensor:  # noqa: B008
        """Return an unbiased estimate `(B,)` of the mean over orders of -log p, in nats, from one pass.

        Each example has an order of its own, and a number d of values that are known, uniform over 0..D - 1. Where one
        pass gives all conditionals of an order, it is -log p in that order, which varies less.
        """
        u = step.uniforms(len(x), self.model.shapes.tokens + 1).to(x.device)
        first = self.visited_first(x)
        orders = in_ranks(u[:, :-1].argsort(1), first)
        if self.model.one_pass:
            params = self.model.in_orders(self.encode(x), orders, self.condition_of(cond))
            return -self.likelihood.log_prob(params, x).flatten(1).sum(1) + self.spec.log_volume
        n = (first == 0).sum(1, keepdim=True)
        d = (first > 0).sum(1, keepdim=True) + (u[:, -1:] * n).long().minimum(n - 1)
        return self.masked_nll(x, ranks_in(orders) < d, cond)

    def masked_nll(self, x: Tensor, known: Tensor, cond: Given = None) -> Tensor:
        """Return D / (D - d) times the sum over the D - d unknown of -log p(x_i | known), `(B,)` in nats.

        `known` are booleans `(B, tokens)`: at least one is False. What is given or missing is none of the D.
        """
        params = self.model(self.encode(x), self.condition_of(cond), known)
        terms = self.likelihood.log_prob(params, x)  # (B, C, *sites)
        unknown = ~known.view(len(x), self.model.shapes.groups, *x.shape[2:])
        scored = self.visited_first(x) == 0
        weight = scored.sum(1) / (scored & ~known).sum(1).clamp(min=1)
        return -weight * (terms * unknown).flatten(1).sum(1) + self.spec.log_volume

    def visited_first(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a number for each token `(B, tokens)`: above 0 for what is known or given, -1 for what is missing.

        Those with higher numbers are visited first, so that nothing is ever predicted from a missing value. `mask`
        `(B, C, *sites)` is True where a value is known.
        """
        groups = self.model.shapes.groups
        tokens = (len(x), groups, x.shape[1] // groups, *x.shape[2:])
        known = torch.zeros_like(x, dtype=torch.bool) if mask is None else mask
        first = known.view(tokens).sum(2).flatten(1)
        first[:, : self.spec.given] = 1
        unread = self.likelihood.unread(x)
        return first if unread is None else first.masked_fill(unread.view(tokens).any(2).flatten(1), -1)

    def parameters_of(self, x: Tensor, cond: Given, member: int) -> Tensor:
        """Return what the network says of every value under one member, which visits missing values last."""
        unread = self.likelihood.unread(x)
        if unread is None or not bool(unread.any()):
            return super().parameters_of(x, cond, member)
        orders = orders_of(self.model, torch.full((len(x),), member), self.visited_first(x))
        params: Tensor = self.model.in_orders(self.encode(x), orders, self.condition_of(cond))
        return params

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
            orders = orders_of(self.model, torch.full((len(x),), k), self.visited_first(x, mask))
            params = self.model.in_orders(self.encode(x), orders, self.condition_of(cond))
            scores.append((self.likelihood.log_prob(params, x) * ~mask).flatten(1).sum(1))
        return torch.stack(scores).logsumexp(0) - math.log(len(scores))

    @torch.no_grad()
    def given_others(self, x: Tensor, cond: Given = None) -> Tensor:
        """Return log p(x_i | all other values that are there) of every value, `(B, C, *sites)` in nats.

        It is what `conditional_log_prob` says of a mask that leaves out one value, or the channels of a site that are
        modelled jointly, under the first member; 0 for what is given or missing. That takes a pass for each.
        """
        z, condition, shapes = self.encode(x), self.condition_of(cond), self.model.shapes
        found = torch.zeros_like(x, dtype=torch.promote_types(self.dtype, torch.float32))
        others = self.visited_first(x, torch.ones_like(x, dtype=torch.bool))
        members = torch.zeros(len(x), dtype=torch.long)
        for token in range(self.spec.given, shapes.tokens):
            here = torch.arange(shapes.tokens, device=x.device) == token
            first = others.masked_fill(here & (others > 0), 0)
            if self.model.one_pass:  # what was read depends on the order
                params = self.model.in_orders(z, orders_of(self.model, members, first), condition)
            else:
                params = self.model(z, condition, first > 0)
            terms = self.likelihood.log_prob(params, x).to(found.dtype)
            values = here.view(shapes.groups, 1, *x.shape[2:]).expand(-1, x.shape[1] // shapes.groups, *x.shape[2:])
            found = torch.where(values.reshape(1, *x.shape[1:]), terms, found)
        return found

    def completes(self, mask: Tensor) -> bool:
        """Whether completion is exact where `mask` is known: always."""
        return True

    def fill(self, draw: Draw, x: Tensor, cond: Condition, u: Tensor, naive: bool = False, loop: Any = None) -> Tensor:
        """Fill a batch, each example in an order of its own: known values first."""
        known = None if draw.mask is None else draw.mask.view_as(x)
        orders = orders_of(self.model, draw_members(self, draw, cond, u), self.visited_first(x, known))
        fill = sample_orderless_naive if naive else loop or sample_orderless
        filled: Tensor = fill(self.model, draw, x, self.condition_of(cond), orders)
        return filled


def orders_of(model: Any, members: Tensor, first: Tensor | None) -> Tensor:
    """Return the order `(B, tokens)` of each example: that of its member, but those that come `first` do so.

    What is known comes in the order of the first member, so that it has the same probability under all members.
    """
    every = torch.stack([token_order(order, model.shapes) for order in model.orders])
    orders = every[members.to(every.device)]
    if first is None:
        return orders
    return in_ranks(torch.where(first > 0, every[0].argsort(), ranks_in(orders)).argsort(1), first)


def ranks_in(orders: Tensor) -> Tensor:
    """Return the place of each token in orders `(B, tokens)`: an argsort of a permutation, without sorting."""
    places = torch.arange(orders.shape[1], device=orders.device).expand_as(orders)
    return torch.empty_like(orders).scatter_(1, orders, places)


def in_ranks(orders: Tensor, first: Tensor) -> Tensor:
    """Return orders `(B, tokens)` sorted by numbers `(B, tokens)` of the tokens, the highest first."""
    if not bool(first.any()):  # as in most trainings: there is nothing to sort
        return orders
    return orders.gather(1, first.gather(1, orders).argsort(dim=1, descending=True, stable=True))
