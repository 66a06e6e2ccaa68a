"""Samples in batches: the member of each is chosen first, then those of one member are drawn together."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, as_condition, rows_of
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.draw import Draw
from ar_lightning.density.factors import as_member, condition_of, dtype_of, log_factors
from ar_lightning.density.loops import loop_of, sample_naive
from ar_lightning.likelihoods.base import Likelihood, choose

__all__ = ["Sampler", "in_batches"]

BATCH = 256  # samples drawn at a time, at most; the result does not depend on it


class Sampler:
    """Draws the samples of a model and its likelihood.

    Args:
        model: the network.
        likelihood: of one value.
        spec: of the data.
    """

    def __init__(self, model: Any, likelihood: Likelihood, spec: DataSpec) -> None:
        self.model, self.likelihood, self.spec = model, likelihood, spec

    def sample(
        self, n: int, noise: Tensor, cond: Tensor | Condition | None, known: Tensor | None, mask: Tensor | None,
        temperature: float, naive: bool, progress: Callable[[int], Any] | None,
    ) -> Tensor:  # fmt: skip
        """Return n samples `(n, C, *sites)`; the arguments are those of `Density.sample`."""
        device, dtype = next(self.model.parameters()).device, dtype_of(self.model)
        dims = self.spec.dims

        def batch(part: Tensor) -> Tensor:
            def rows(t: Tensor | None) -> Tensor | None:
                return None if t is None else t[part.to(t.device)].to(device)

            def flat(t: Tensor | None) -> Tensor | None:
                return None if t is None else t.flatten(1)

            given = Condition(*map(rows, as_condition(cond)))
            u = noise[part].to(device)
            draw = Draw(self.likelihood, u[:, :dims], flat(rows(known)), flat(rows(mask)), temperature, dtype, progress)
            kind = dtype if self.spec.levels is None else torch.long
            x = torch.zeros(len(part), *self.spec.shape, dtype=kind, device=device)
            return self.fill(draw, x, given, u[:, dims:], naive)

        return in_batches(n, BATCH, batch)

    def fill(self, draw: Draw, x: Tensor, cond: Condition, u: Tensor, naive: bool = False) -> Tensor:
        """Fill a batch `x` (B, C, *sites) with samples.

        Args:
            draw: chooses the values.
            x: zeros.
            cond: what is given of each.
            u: uniforms `(B, 1, ...)` that choose the members; not read where there is one.
            naive: a full forward pass per value.
        """
        loop = sample_naive if naive else loop_of(self.model)
        members = self.members(draw, cond, u)
        for k in members.unique().tolist():
            i = (members == k).nonzero()[:, 0]
            with as_member(self.model, k):
                x[i] = loop(self.model, draw.of(i), x[i], condition_of(self.model, rows_of(cond, i)))
        return x

    def members(self, draw: Draw, cond: Condition, u: Tensor) -> Tensor:
        """Draw the member `(B,)` of each sample, given its known values, by uniforms `(B, 1, ...)`."""
        if self.model.members == 1:
            return torch.zeros(len(draw.noise), dtype=torch.long)
        return choose(self.member_scores(draw, cond), u[:, 0, 0])

    def member_scores(self, draw: Draw, cond: Condition) -> Tensor:
        """Return log p_k(known values) `(B, K)` of every member, of the values that come first in its order."""
        scores = torch.zeros(len(draw.noise), self.model.members, device=draw.noise.device)
        if draw.known is None or draw.mask is None:
            return scores
        known = draw.known.view(-1, *self.spec.shape)
        for k in range(self.model.members):
            terms = log_factors(self.model, self.likelihood, known, cond, k).flatten(1)
            order = self.model.orders[k % len(self.model.orders)]
            first = draw.mask[:, order].long().cumprod(1)  # 1 until the first value that is not known
            scores[:, k] = (terms[:, order] * first).sum(1)
        return scores


def in_batches(n: int, size: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Draw n samples in batches, which are halved whenever the GPU has no memory for one.

    Args:
        n: number of samples.
        size: of a batch, at most.
        draw: draws the samples of these numbers `(B,)`.

    Raises:
        torch.OutOfMemoryError: there is no memory for a single one.
    """
    parts: list[Tensor] = []
    start = 0
    while start < n or not parts:
        try:
            parts.append(draw(torch.arange(start, min(n, start + size))))
            start += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
    return torch.cat(parts)
