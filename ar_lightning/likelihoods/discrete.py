"""Likelihoods of values on levels: a coin for two, a softmax for any number."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions

from ar_lightning.core.levels import spread
from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood, at_least_float32, categorical, check_levels, choose, tempered

__all__ = ["Bernoulli", "Categorical"]


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

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        return x.float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits = at_least_float32(params)
        sign = (x.to(logits.dtype) - 0.5).mul_(2)
        signed = sign * logits
        if signed.requires_grad or not signed.is_cpu:
            return F.logsigmoid(signed)  # as binary_cross_entropy_with_logits in fewer passes
        return log_sigmoid(signed)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Categorical:
        logits = at_least_float32(params)
        return categorical(torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], -1))

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        p = torch.sigmoid(tempered(params[:, 0], temperature))
        return (noise[:, 0] < p).long()

    def check(self, x: Tensor) -> None:
        check_levels(x, 2)


def log_sigmoid(x: Tensor) -> Tensor:
    """Return log(sigmoid(x)), without a gradient, as `F.logsigmoid` does: with one log, in place of a slow log1p."""
    e = x.abs().neg_().exp_()
    u = e + 1
    e.sub_(u - 1).div_(u)  # log1p(e) - log(u): what rounding takes from u, to the first order
    return x.clamp(max=0).sub_(u.log_()).sub_(e)


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
            raise ValueError("the categorical likelihood needs data on levels, not real values")
        self.levels = self.params = spec.levels
        self.encoding = "scaled" if encoding == "auto" else encoding
        self.inputs = self.levels if encoding == "one_hot" else 1
        self.embedded = self.levels + 1 if encoding == "index" else 0

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        if self.encoding == "index":
            return (x + 1).float()  # 0 is what stands before the first value
        if self.encoding == "scaled":
            return spread(x.float(), self.levels)
        planes = F.one_hot(x.long(), self.levels).movedim(-1, 2)  # (B, C, K, *sites)
        return planes.flatten(1, 2).float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits = at_least_float32(params).unflatten(1, (x.shape[1], self.levels))  # (B, C, K, *sites)
        if logits.stride(2) == 1:  # as sequence models have them: no copy with the levels elsewhere
            rows = logits.movedim(2, -1).flatten(0, -2)
            return F.cross_entropy(rows, x.long().flatten(), reduction="none").neg_().view_as(x)
        nll = F.cross_entropy(logits.flatten(0, 1), x.long().flatten(0, 1), reduction="none")
        return -nll.view_as(x)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Categorical:
        return categorical(at_least_float32(params).unflatten(1, (x.shape[1], self.levels)).movedim(2, -1))

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        return choose(tempered(params, temperature), noise[:, 0])

    def check(self, x: Tensor) -> None:
        check_levels(x, self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, encoding={self.encoding}"
