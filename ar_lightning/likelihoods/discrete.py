"""What one value is, given the network's parameters: how it is scored, encoded and drawn.

A likelihood maps parameters `(B, C * P, *sites)` and values `(B, C, *sites)` to log-probabilities in nats. The
sampler and the score share it, so they cannot disagree. Drawing is a pure function of uniform noise, so that a seed
means the same sample in every loop, batch size and device.
"""

from abc import abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec

__all__ = [
    "Bernoulli",
    "Categorical",
    "Likelihood",
    "at_least_float32",
    "categorical",
    "check_levels",
    "choose",
    "scaled",
]


class Likelihood(nn.Module):
    """Base of all likelihoods.

    `supports` names the data it takes; `inputs` are the encoded inputs and `params` the network outputs per value;
    `embedded` is K + 1 where the input is a number 1..K to look up; `noise` is how many uniforms one draw consumes. A
    `joint` likelihood models the channels of a site together: its `params` are per site. Each channel is still drawn
    and scored on its own, given the ones before.
    """

    supports: tuple[str, ...] = ()
    inputs: int = 1
    params: int = 1
    embedded: int = 0
    noise: int = 1
    joint: bool = False

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Map values `(B, C, *sites)` to network inputs `(B, C * inputs, *sites)` in float32."""

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """Score values: `(B, groups * params, *sites)`, `(B, C, *sites)` to `(B, C, *sites)` nats, float32 or better.

        There are C groups, or one where the likelihood is joint: then a channel is scored given those before it.
        """

    @abstractmethod
    def distribution(self, params: Tensor, x: Tensor) -> distributions.Distribution:
        """Return the distributions that `log_prob` scores values by, of batch shape `(B, C, *sites)`.

        Over levels it is categorical, with `probs` `(B, C, *sites, K)`. A joint likelihood's is of each channel given
        those before it in `x`; the others only read the shape of `x`.
        """

    @abstractmethod
    def sample(self, params: Tensor, noise: Tensor, temperature: float = 1.0, earlier: Tensor | None = None) -> Tensor:
        """Draw values `(N,)` from parameters `(N, params)` and uniform noise `(N, noise)`.

        `earlier` `(N, c)` are the first c channels of the site, None for the first: a joint likelihood draws the next.
        """

    @abstractmethod
    def check(self, x: Tensor) -> None:
        """Raise ValueError where a value lies outside the support."""


class Bernoulli(Likelihood):
    """Binary values: one logit each.

    Example:
        >>> likelihood = Bernoulli(DataSpec((1, 2), levels=2))
        >>> likelihood.log_prob(torch.zeros(1, 1, 2), torch.tensor([[[0, 1]]])).exp()
        tensor([[[0.5000, 0.5000]]])
    """

    supports = ("binary",)

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()

    def encode(self, x: Tensor) -> Tensor:
        return x.float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits = at_least_float32(params)
        return -F.binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none")

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Categorical:
        logits = at_least_float32(params)
        return categorical(torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], -1))

    def sample(self, params: Tensor, noise: Tensor, temperature: float = 1.0, earlier: Tensor | None = None) -> Tensor:
        p = torch.sigmoid(at_least_float32(params)[:, 0] / temperature)
        return (noise[:, 0] < p).long()

    def check(self, x: Tensor) -> None:
        check_levels(x, 2)


class Categorical(Likelihood):
    """Values on K levels, scored by a softmax over all of them.

    Args:
        encoding: what the network reads: `scaled` maps the levels to [-1, 1], `one_hot` gives K channels a value,
            `index` one number for it to look up; `auto` takes what suits the model.
    """

    supports = ("binary", "levels")

    def __init__(self, spec: DataSpec, *, encoding: Literal["auto", "scaled", "one_hot", "index"] = "auto") -> None:
        super().__init__()
        if spec.levels is None:
            raise UserError("the categorical likelihood needs data on levels, not real values")
        self.levels = self.params = spec.levels
        self.encoding = "scaled" if encoding == "auto" else encoding
        self.inputs = self.levels if encoding == "one_hot" else 1
        self.embedded = self.levels + 1 if encoding == "index" else 0

    def encode(self, x: Tensor) -> Tensor:
        if self.encoding == "index":
            return (x + 1).float()  # 0 is what stands before the first value
        if self.encoding == "scaled":
            return scaled(x.float(), self.levels)
        planes = F.one_hot(x.long(), self.levels).movedim(-1, 2)  # (B, C, K, *sites)
        return planes.flatten(1, 2).float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits = at_least_float32(params).unflatten(1, (x.shape[1], self.levels))  # (B, C, K, *sites)
        nll = F.cross_entropy(logits.flatten(0, 1), x.long().flatten(0, 1), reduction="none")
        return -nll.view_as(x)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Categorical:
        return categorical(at_least_float32(params).unflatten(1, (x.shape[1], self.levels)).movedim(2, -1))

    def sample(self, params: Tensor, noise: Tensor, temperature: float = 1.0, earlier: Tensor | None = None) -> Tensor:
        return choose(at_least_float32(params) / temperature, noise[:, 0])

    def check(self, x: Tensor) -> None:
        check_levels(x, self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, encoding={self.encoding}"


def scaled(x: Tensor, levels: int) -> Tensor:
    """Map levels 0..K-1 to [-1, 1]."""
    return x * (2 / (levels - 1)) - 1


def choose(logits: Tensor, u: Tensor) -> Tensor:
    """Draw from categorical distributions `(N, K)` by their quantiles at `u` `(N,)`: indices `(N,)`."""
    cumulative = logits.softmax(1).cumsum(1)
    # Scaling by the last entry, not 1, keeps rounding from ever choosing one beyond the last possible.
    below = cumulative <= u[:, None] * cumulative[:, -1:]
    return below.sum(1).clamp_(max=logits.shape[1] - 1)


def categorical(logits: Tensor) -> distributions.Categorical:
    """Return the categorical distributions of logits `(..., K)`; NaN stays NaN there, as it does in a score."""
    return distributions.Categorical(logits=logits, validate_args=False)


def at_least_float32(params: Tensor) -> Tensor:
    return params if params.dtype == torch.float64 else params.float()


def check_levels(x: Tensor, levels: int) -> None:
    if x.is_floating_point() and not bool((x == x.round()).all()):
        raise ValueError(f"expected whole numbers in 0..{levels - 1}, got fractions")
    if x.numel() and not (x.min() >= 0 and x.max() < levels):
        low, high = x.min().item(), x.max().item()
        raise ValueError(f"expected values in 0..{levels - 1}, got {low:g}..{high:g}")
