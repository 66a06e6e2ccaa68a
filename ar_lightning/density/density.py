"""A density: an autoregressive network and a likelihood. Everything else talks to this."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ar_lightning.core.condition import Condition, as_condition, rows_of
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.conditionals import conditionals
from ar_lightning.density.sampling import Draw, in_batches, sample_naive, sampler_of
from ar_lightning.density.summary import as_html, as_picture, as_text
from ar_lightning.likelihoods.base import Likelihood, choose

__all__ = ["MAX_CLASSES", "Density", "Step"]

MAX_CLASSES = 100  # of the Bayes classifier, which takes a forward pass per class
BATCH = 256  # samples drawn at a time, at most; the result does not depend on it


class Step(NamedTuple):
    """A training step: what the randomness of an objective is a function of, so that it is the same on any number of
    processes.

    Args:
        number: of the optimizer step.
        seed: of the run.
        rank: of this process.
        world: number of processes.
    """

    number: int = 0
    seed: int = 0
    rank: int = 0
    world: int = 1

    def uniforms(self, n: int, k: int) -> Tensor:
        """Return this process' `(n, k)` of the uniforms of the step, of which every example in it has k, on the CPU."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.number) % 2**63)
        return torch.rand(n * self.world, k, generator=generator)[self.rank :: self.world]


class Density(nn.Module):
    """`p(x) = prod_i p(x_i | x_<i)`: a network that is causal in its order, and the likelihood of one value.

    A model of several members is their mixture, `p(x) = 1/K sum_k p_k(x)`.

    Args:
        model: maps encoded inputs to parameters, strictly causally.
        likelihood: scores, encodes and draws one value.
        spec: shape, levels and classes of the data.
    """

    def __init__(self, model: nn.Module, likelihood: Likelihood, spec: DataSpec) -> None:
        super().__init__()
        self.model: Any = model
        self.likelihood = likelihood
        self.spec = spec

    __repr__, _repr_html_, show = as_text, as_html, as_picture

    @property
    def conditional(self) -> bool:
        """Whether `cond` must hold labels."""
        return bool(self.model.classes)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def log_prob(self, x: Tensor, cond: Tensor | Condition | None = None) -> Tensor:
        """Return log p(x | cond) in nats; of real values the log-density, per the unit that `spec` says.

        Args:
            x: data values `(B, C, *sites)`.
            cond: labels `(B,)` of a conditional density; with aligned features, a `Condition` of both.

        Returns:
            `(B,)`, float32 or better.

        Raises:
            ValueError: wrong shape, values outside the support, or labels or features missing.
        """
        if not self.training:  # training data has been checked once, when it was loaded
            self._check_values(x)
            self._check_condition(len(x), cond)
        scores = [self._terms(k, x, cond).flatten(1).sum(1) for k in range(self.model.members)]
        if len(scores) == 1:
            return scores[0] - self.spec.log_volume
        return torch.stack(scores).logsumexp(0) - math.log(len(scores)) - self.spec.log_volume

    @torch.no_grad()
    def conditionals(
        self, x: Tensor, cond: Tensor | Condition | None = None, member: int | None = None
    ) -> Distribution:
        """Return p(x_i | x_<i, cond) of every value, as one distribution of batch shape `(B, C, *sites)`.

        Over levels it is `Categorical`: its `probs` are `(B, C, *sites, K)`, the levels last, where PyTorch's
        distributions have them. Over real values it is `MixtureSameFamily`, of densities per unit of x. Its
        `log_prob(x)`, summed over an example, is `log_prob(x) + spec.log_volume`.

        Args:
            x: data values `(B, C, *sites)`.
            cond: labels `(B,)` of a conditional density; with aligned features, a `Condition` of both.
            member: of a density of several members, the one to look at; None for their mixture.

        Raises:
            ValueError: as `log_prob`; or the mixture has no conditionals, since its members differ in their orders.
        """
        self._check_values(x)
        self._check_condition(len(x), cond)
        return conditionals(self, x, cond, member)

    def class_log_probs(self, x: Tensor, cond: Tensor | Condition | None = None) -> Tensor:
        """Return log p(x | y) in nats for every class y of a conditional density, a forward pass each.

        Args:
            x: data values `(B, C, *sites)`.
            cond: what else is given: labels in it are not looked at.

        Returns:
            `(B, classes)`, float32 or better.

        Raises:
            ValueError: the density is unconditional, or as `log_prob`.
        """
        if not self.conditional:
            raise ValueError("this density is unconditional: it has no p(x | class)")
        labels = torch.arange(self.model.classes, device=x.device)
        given = as_condition(cond)
        return torch.stack([self.log_prob(x, given._replace(labels=label.expand(len(x)))) for label in labels], 1)

    def loss(self, x: Tensor, cond: Tensor | Condition | None = None, step: Step = Step()) -> Tensor:  # noqa: B008
        """Return the training objective `(B,)` in nats: -log p, of one member after another where there are several.

        A density with another objective overrides this.
        """
        return -self._terms(step.number % self.model.members, x, cond).flatten(1).sum(1) + self.spec.log_volume

    @contextmanager
    def member(self, k: int) -> Iterator[None]:
        """Let the model be its member k."""
        before, self.model.member = self.model.member, k
        try:
            yield
        finally:
            self.model.member = before

    def _terms(self, k: int, x: Tensor, cond: Tensor | Condition | None) -> Tensor:
        """Return log p_k(x_i | x_<i, cond) of every value, `(B, C, *sites)`, under member k."""
        with self.member(k):
            return self.likelihood.log_prob(self.model(self._encode(x), self._given(cond)), x)

    def _given(self, cond: Tensor | Condition | None) -> Tensor | Condition | None:
        """Return what the model reads of a condition: labels alone, or both where it reads features."""
        labels, features = as_condition(cond)
        labels = labels if self.conditional else None
        return labels if not self.model.features or features is None else Condition(labels, features.to(self.dtype))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        cond: Tensor | Condition | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        naive: bool = False,
        progress: Callable[[int], Any] | None = None,
    ) -> Tensor:
        """Draw n examples `(n, C, *sites)`, or complete known ones.

        Completion is exact, a draw from p(unknown | known), where the known values come first in the model's order
        (the upper rows of an image in raster order). Values known after an unknown one are kept, but earlier draws do
        not see them. Where there are several members, each sample is of one, drawn from what is known of it.

        Args:
            n: number of samples.
            cond: labels `(n,)` of a conditional density; with aligned features, a `Condition` of both.
            known: values `(n, C, *sites)` to keep where `mask` is True.
            mask: booleans that broadcast to `(n, C, *sites)`.
            temperature: below 1 sharpens, above 1 flattens each conditional; 1 draws from the density.
            generator: CPU generator of the noise; the same seed gives the same samples in any batch size.
            noise: the noise itself, instead of a generator; a part of `self.noise(...)` gives that part of the samples.
            naive: a full forward pass per value; for tests and comparisons.
            progress: called with the number of values that were just chosen, of `n * spec.dims` in all.

        Raises:
            ValueError: shapes that do not fit, a temperature that is not positive, labels missing.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if (known is None) != (mask is None):
            raise ValueError("completion needs both `known` and `mask`")
        noise = self.noise(n, generator) if noise is None else noise
        if known is not None and mask is not None:
            self._check_values(known)
            mask = mask.expand(n, *self.spec.shape)
        self._check_condition(n, cond)
        was_training = self.training
        self.eval()
        try:
            return in_batches(
                n, BATCH, lambda rows: self._sample_batch(rows, cond, known, mask, noise, temperature, naive, progress)
            )
        finally:
            self.train(was_training)

    def completes(self, mask: Tensor) -> bool:
        """Whether completion is exact where `mask` `(C, *sites)` is known: it comes first in every member's order."""
        known = mask.flatten().to(self.model.orders.device)[self.model.orders].long()
        return bool((known.cumprod(1).sum(1) == mask.sum()).all())

    def noise(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return the uniforms that n samples are a function of: `(n, D, likelihood.noise)`.

        Where there are several members, there is one row more, `(n, D + 1, ...)`, which chooses among them. They are
        drawn on the CPU, so that a seed means the same on every device.
        """
        rows = self.spec.dims + (self.model.members > 1)
        return torch.rand(n, rows, self.likelihood.noise, generator=generator)

    def _sample_batch(
        self, part: Tensor, cond: Tensor | Condition | None, known: Tensor | None, mask: Tensor | None, noise: Tensor,
        temperature: float, naive: bool, progress: Callable[[int], Any] | None,
    ) -> Tensor:  # fmt: skip
        def rows(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[part.to(t.device)].to(self.device)

        def flat(t: Tensor | None) -> Tensor | None:
            return None if t is None else t.flatten(1)

        given = Condition(*map(rows, as_condition(cond)))
        noise, chosen = noise[part].to(self.device).split([self.spec.dims, noise.shape[1] - self.spec.dims], 1)
        draw = Draw(self.likelihood, noise, flat(rows(known)), flat(rows(mask)), temperature, self.dtype, progress)
        dtype = self.dtype if self.spec.levels is None else torch.long
        x = torch.zeros(len(part), *self.spec.shape, dtype=dtype, device=self.device)
        return self._draw(draw, x, given, chosen, naive)

    def _draw(self, draw: Draw, x: Tensor, cond: Condition, chosen: Tensor, naive: bool) -> Tensor:
        """Fill a batch `x`: members first, by the uniforms `chosen` (B, 1, ...), then the samples of each together."""
        loop = sample_naive if naive else sampler_of(self.model)
        members = self._choose_members(draw, cond, chosen)
        for k in members.unique().tolist():
            i = (members == k).nonzero()[:, 0]
            with self.member(k):
                x[i] = loop(self.model, draw.of(i), x[i], self._given(rows_of(cond, i)))
        return x

    def _choose_members(self, draw: Draw, cond: Condition, chosen: Tensor) -> Tensor:
        """Draw which member `(B,)` each sample is of, by uniforms (B, 1, ...) where there are several."""
        if self.model.members == 1:
            return torch.zeros(len(draw.noise), dtype=torch.long)
        return choose(self._member_scores(draw, cond), chosen[:, 0, 0])

    def _member_scores(self, draw: Draw, cond: Condition) -> Tensor:
        """Return log p_k(known values) `(B, K)` of every member, of the values that come first in its order."""
        scores = torch.zeros(len(draw.noise), self.model.members, device=draw.noise.device)
        if draw.known is None or draw.mask is None:
            return scores
        for k in range(self.model.members):
            terms = self._terms(k, draw.known.view(-1, *self.spec.shape), cond).flatten(1)
            order = self.model.orders[k % len(self.model.orders)]
            first = draw.mask[:, order].long().cumprod(1)  # 1 until the first value that is not known
            scores[:, k] = (terms[:, order] * first).sum(1)
        return scores

    def _encode(self, x: Tensor) -> Tensor:
        return self.likelihood.encode(x).to(self.dtype)

    def _check_values(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.spec.shape:
            raise ValueError(f"expected data (B, {', '.join(map(str, self.spec.shape))}), got {tuple(x.shape)}")
        self.likelihood.check(x)

    def _check_condition(self, n: int, cond: Tensor | Condition | None) -> None:
        labels, features = as_condition(cond)
        if self.model.features:
            shape = (n, self.model.features, *self.spec.shape[1:])
            if features is None or features.shape != shape:
                raise ValueError(f"this density reads features: give `cond`, a Condition with features {shape}")
        if not self.conditional:
            return
        if labels is None or labels.shape != (n,):
            raise ValueError(f"this density is conditional: give `cond`, {n} labels")
        if n and not (labels.min() >= 0 and labels.max() < self.model.classes):
            raise ValueError(f"expected labels in 0..{self.model.classes - 1}, got {labels.min()}..{labels.max()}")
