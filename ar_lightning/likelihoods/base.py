"""The distribution of one value given the network's parameters: how it is scored, encoded and drawn.

A likelihood maps parameters `(B, C * P, *sites)` and values `(B, C, *sites)` to log-probabilities in nats. The
sampler and the score share it, so they cannot disagree. Drawing is a pure function of uniform noise, so that a seed
means the same sample in every loop, batch size and device.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, distributions, nn

__all__ = ["Likelihood", "at_least_float32", "categorical", "check_levels", "choose", "tempered"]


class Likelihood(nn.Module, ABC):
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
    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        """Map values `(B, C, *sites)` to network inputs `(B, C * inputs, *sites)` in float32.

        Where `x` `(B, C, 1)` holds one site of each example, `site` says which, for a likelihood whose sites differ.
        """

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
    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        """Draw values `(N,)` from parameters `(N, params)` and uniform noise `(N, noise)`.

        `earlier` `(N, c)` are the first c channels of the site, None for the first: a joint likelihood draws the next.
        `site` is that of all values, or `(N,)`, for a likelihood whose sites differ.
        """

    def freeze_encoders(self) -> None:
        """Train no parameters of `encode`, if there are any, for a network that reads nothing."""

    def unread(self, x: Tensor) -> Tensor | None:
        """Return which values `(B, C, *sites)` are missing and so neither read nor scored; None if none can be."""
        return None

    @abstractmethod
    def check(self, x: Tensor) -> None:
        """Raise `ValueError` if a value lies outside the support."""


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
    """Cast parameters of lower precision to float32, in which log-probabilities are computed."""
    return params if params.dtype == torch.float64 else params.float()


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Return the logits, in float32 or better, of the distribution that a temperature sharpens or flattens."""
    logits = at_least_float32(logits)
    return logits if temperature == 1 else logits / temperature


def check_levels(x: Tensor, levels: int) -> None:
    """Raise `ValueError` unless all values are whole numbers in 0..K-1."""
    if x.is_floating_point() and not bool((x == x.round()).all()):
        raise ValueError(f"expected whole numbers in 0..{levels - 1}, got fractions")
    if x.numel() and not (x.min() >= 0 and x.max() < levels):
        low, high = x.min().item(), x.max().item()
        raise ValueError(f"expected values in 0..{levels - 1}, got {low:g}..{high:g}")
