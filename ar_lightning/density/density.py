"""A density: an autoregressive network and a likelihood. Everything else talks to this."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ar_lightning.core.condition import Condition, Given, as_condition, rows_of
from ar_lightning.core.fields import Engine
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.compiled import choose_loop
from ar_lightning.density.conditionals import members_of, mixture
from ar_lightning.density.draw import Draw
from ar_lightning.density.given import check_given, read_of
from ar_lightning.density.lengths import after_end, blank, check_ends, ended, to_the_end
from ar_lightning.density.loops import in_batches, loop_of, sample_naive
from ar_lightning.density.members import draw_members, log_mean
from ar_lightning.density.step import Step
from ar_lightning.density.summary import summary
from ar_lightning.likelihoods.base import Likelihood

__all__ = ["MAX_CLASSES", "Density"]

BATCH = 256  # samples drawn at a time, at most; the result does not depend on it
MAX_CLASSES = 100  # of the Bayes classifier, which takes a forward pass per class


class Density(nn.Module):
    """`p(x) = prod_i p(x_i | x_<i)`: a network that is causal in its order, and the likelihood of one value.

    A model of several members is their mixture, `p(x) = 1/K sum_k p_k(x)`.

    Args:
        model: maps encoded inputs to parameters, strictly causally.
        likelihood: scores, encodes and draws one value.
        spec: shape, levels and classes of the data.
    """

    context_moments: Tensor | None  # means and deviations `(2, F)` of what is given with an example

    def __init__(self, model: nn.Module, likelihood: Likelihood, spec: DataSpec) -> None:
        super().__init__()
        self.model: Any = model
        self.likelihood = likelihood
        self.spec = spec
        moments = torch.tensor(spec.context, dtype=torch.float32).T.contiguous() if spec.context else None
        self.register_buffer("context_moments", moments, persistent=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {summary(self.model, self.likelihood, self.spec)}"

    @property
    def conditional(self) -> bool:
        """Whether `cond` must hold labels; `model.features` and `model.context` say what else it must hold."""
        return bool(self.model.classes)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def log_prob(self, x: Tensor, cond: Given = None) -> Tensor:
        """Return log p(x | cond) in nats; of real values the log-density, per the unit that `spec` says.

        Args:
            x: data values `(B, C, *sites)`.
            cond: labels `(B,)` of a conditional density; with aligned features or vectors, a `Condition` of all.

        Returns:
            `(B,)`, float32 or better.

        Raises:
            ValueError: wrong shape, values outside the support, or labels, features or vectors missing.
        """
        return log_mean(self.member_log_probs(x, cond))

    def member_log_probs(self, x: Tensor, cond: Given = None) -> Tensor:
        """Return log p(x | cond) in nats under each member, `(members, B)`: otherwise as `log_prob`."""
        if not self.training:  # training data has been checked once, when it was loaded
            self.check_values(x)
            self.check_condition(len(x), cond)
        scores = [self.terms(x, cond, k).flatten(1).sum(1) for k in range(self.model.members)]
        return torch.stack(scores) - self.spec.log_volume

    @torch.no_grad()
    def conditionals(self, x: Tensor, cond: Given = None, member: int | None = None) -> Distribution:
        """Return p(x_i | x_<i, cond) of every value, as one distribution of batch shape `(B, C, *sites)`.

        Over levels it is `Categorical`: its `probs` are `(B, C, *sites, K)`, the levels last, where PyTorch's
        distributions have them. Over real values it is `MixtureSameFamily`, of densities per unit of x. Its
        `log_prob(x)`, summed over an example, is `log_prob(x) + spec.log_volume`.

        Args:
            x, cond: as of `log_prob`.
            member: of a density of several members, the one to look at; None for their mixture.

        Raises:
            ValueError: as `log_prob`; or the mixture has no conditionals, since its members differ in their orders.
        """
        self.check_values(x)
        self.check_condition(len(x), cond)
        ks = members_of(self.model, member)
        parts = [self.likelihood.distribution(self.parameters_of(x, cond, k), x) for k in ks]
        if (end := self.spec.end) is not None:
            parts = [ended(part, x, end) for part in parts]
        return parts[0] if len(parts) == 1 else mixture(parts, x, self.model.orders[0])

    def class_log_probs(self, x: Tensor, cond: Given = None) -> Tensor:
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

    def loss(self, x: Tensor, cond: Given = None, step: Step = Step()) -> Tensor:  # noqa: B008
        """Return the training objective `(B,)` in nats: -log p, of one member after another where there are several."""
        return -self.terms(x, cond, step.number % self.model.members).flatten(1).sum(1) + self.spec.log_volume

    @contextmanager
    def member(self, k: int) -> Iterator[None]:
        """Let the model be its member k."""
        before, self.model.member = self.model.member, k
        try:
            yield
        finally:
            self.model.member = before

    def encode(self, x: Tensor) -> Tensor:
        """Return the network's inputs `(B, C * E, *sites)` for data values `(B, C, *sites)`."""
        return self.likelihood.encode(x).to(self.dtype)

    def condition_of(self, cond: Given) -> Given:
        """Return the part of a condition that the model reads, as it reads it."""
        return read_of(cond, self.model, self.context_moments, self.dtype)

    def parameters_of(self, x: Tensor, cond: Given, member: int) -> Tensor:
        """Return what the network says of every value under one member, `(B, groups * P, *sites)`."""
        with self.member(member):
            params: Tensor = self.model(self.encode(x), self.condition_of(cond))
        return params

    def terms(self, x: Tensor, cond: Given = None, member: int = 0) -> Tensor:
        """Return log p(x_i | x_<i, cond) of every value in nats, `(B, C, *sites)`, under one member; x is unchecked.

        It is 0 after the end of an example.
        """

        def score(x: Tensor) -> Tensor:
            return self.likelihood.log_prob(self.parameters_of(x, cond, member), x)

        end = self.spec.end
        return score(x) if end is None else to_the_end(score, x, end, self.model.any_length)

    def scored(self, x: Tensor) -> Tensor:
        """Return booleans `(B, C, *sites)`: which values are scored. What is given, missing or after an end is not."""
        if self.spec.end is not None:
            return ~after_end(x, self.spec.end)
        scored = ~self.given_mask(len(x)).to(x.device)
        unread = self.likelihood.unread(x)
        return scored if unread is None else scored & ~unread

    def given_mask(self, n: int) -> Tensor:
        """Return booleans `(n, C, *sites)`: which values of n examples are given."""
        mask = torch.zeros(n, *self.spec.shape, dtype=torch.bool)
        mask[..., : self.spec.given] = True
        return mask

    def sample(
        self, n: int, cond: Given = None, known: Tensor | None = None, mask: Tensor | None = None,
        temperature: float = 1.0, generator: torch.Generator | None = None, noise: Tensor | None = None,
        naive: bool = False, progress: Callable[[int], Any] | None = None, engine: Engine = "auto",
    ) -> Tensor:  # fmt: skip
        """Draw n examples `(n, C, *sites)`, or complete known ones.

        Completion is exact, a draw from p(unknown | known), where the known values come first in the model's order
        (the upper rows of an image in raster order). Values known after an unknown one are kept, but earlier draws do
        not see them. Where there are several members, each sample is of one, drawn from what is known of it.

        Args:
            n: number of samples.
            cond: labels `(n,)` of a conditional density; with aligned features or vectors, a `Condition` of all.
            known: values `(n, C, *sites)` to keep where `mask` is True.
            mask: booleans that broadcast to `(n, C, *sites)`.
            temperature: below 1 sharpens, above 1 flattens each conditional; 1 draws from the density.
            generator: CPU generator of the noise; the same seed gives the same samples in any batch size.
            noise: the noise itself, instead of a generator; a part of `self.noise(...)` gives that part of the samples.
            naive: a full forward pass per value; for tests and comparisons.
            progress: called with the number of values that were just chosen, of `n * spec.dims` in all.
            engine: how steps run: `eager`, or `compiled` into machine code, which the user's cache keeps; the samples
                are the same up to rounding. `auto` compiles where that takes less time than it saves.

        Raises:
            UserError: `engine="compiled"`, and the model or the machine cannot.
            ValueError: shapes that do not fit, a temperature that is not positive, labels missing.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if (known is None) != (mask is None):
            raise ValueError("completion needs both `known` and `mask`")
        uniforms = self.noise(n, generator) if noise is None else noise
        if known is not None and mask is not None:
            mask = mask.expand(n, *self.spec.shape)
            self.check_values(known, mask)
        if (given := self.spec.given) and (mask is None or not bool(mask[:, :, :given].all())):
            raise ValueError(f"this density is of what follows {given} given columns: `known` must hold these")
        self.check_condition(n, cond)
        loop = choose_loop(engine, self, n)
        dims, kind = self.spec.dims, self.dtype if self.spec.levels is None else torch.long

        @torch.inference_mode()
        def batch(rows: Tensor) -> Tensor:
            def part(t: Tensor | None) -> Tensor | None:
                return None if t is None else t[rows.to(t.device)].to(self.device)

            values, fixed = (None if t is None else t.flatten(1) for t in (part(known), part(mask)))
            u = uniforms[rows].to(self.device)
            draw = Draw(self.likelihood, u[:, :dims], values, fixed, temperature, self.dtype, progress, self.spec.end)
            x = torch.zeros(len(rows), *self.spec.shape, dtype=kind, device=self.device)
            return self.fill(draw, x, Condition(*map(part, as_condition(cond))), u[:, dims:], naive, loop)

        was_training = self.training
        self.eval()
        try:
            return in_batches(n, BATCH, batch)  # put together outside, so that a training may read them
        finally:
            self.train(was_training)

    def fill(self, draw: Draw, x: Tensor, cond: Condition, u: Tensor, naive: bool = False, loop: Any = None) -> Tensor:
        """Fill a batch of zeros `x` (B, C, *sites) with samples: those of one member are drawn together.

        Where there are several, uniforms `u` `(B, 1, ...)` choose them; `naive` is a full forward pass per value,
        `loop` another way to stream.
        """
        loop = sample_naive if naive else loop or loop_of(self.model)
        if self.spec.end is not None:
            x = blank(x, self.spec.end)
        members = draw_members(self, draw, cond, u)
        for k in members.unique().tolist():
            i = (members == k).nonzero()[:, 0]
            with self.member(k):
                x[i] = loop(self.model, draw.of(i), x[i], self.condition_of(rows_of(cond, i)))
        return x

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

    def check_values(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Raise ValueError if values have another shape than `(B, C, *sites)`, lie outside the support, or are missing.

        Those are that `mask` says are known; without it, any, unless the density is for all orders.
        """
        if tuple(x.shape[1:]) != self.spec.shape:
            raise ValueError(f"expected data (B, {', '.join(map(str, self.spec.shape))}), got {tuple(x.shape)}")
        self.likelihood.check(x)
        if self.spec.end is not None and mask is None:
            check_ends(x, self.spec.end)
        unread, read = self.likelihood.unread(x), not self.model.orderless if mask is None else mask
        if unread is not None and bool((unread & read).any()):
            raise ValueError("a value is missing that this density reads, in an order of its own or as a known one")

    def check_condition(self, n: int, cond: Given) -> None:
        """Raise ValueError if the condition of n examples lacks what the density reads, or has classes it lacks."""
        check_given(n, cond, self.model, self.spec.shape[1:])
