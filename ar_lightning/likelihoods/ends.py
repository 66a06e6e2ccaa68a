r"""Frames of real values of different lengths: the first channel says whether an example is over, the others are real.

    p(e_t, v_t | past) = Bernoulli(e_t) prod_i likelihood(v_{t,i}),    v_t if e_t = 0, for each channel in turn

A network gives P parameters for every channel, as many as a real value has; the first of those of an end is its logit.
"""

import torch
from torch import Tensor, distributions

from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood
from ar_lightning.likelihoods.discrete import Bernoulli

__all__ = ["WithEnds"]


class WithEnds(Likelihood):
    """Real values scored by another likelihood, and the end in the first channel, a probability at every step.

    Args:
        values: the likelihood of the values, of which none is joint.
        spec: of the data.
    """

    supports = ("real",)

    def __init__(self, values: Likelihood, spec: DataSpec) -> None:
        super().__init__()
        self.values, self.ends, self.length = values, Bernoulli(spec), spec.shape[-1]
        self.inputs, self.params, self.noise = values.inputs, values.params, values.noise

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        return self.values.encode(x, site)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        ends = self.ends.log_prob(params[:, :1], x[:, :1])
        return torch.cat([ends, self.values.log_prob(params[:, self.params :], x[:, 1:])], 1)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Distribution:
        raise ValueError("an end and real values have distributions of two kinds: see density.terms(x)")

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        if not isinstance(site, int):
            raise ValueError("an end and real values differ: say which site is drawn, the same of all examples")
        channel = self.ends if site < self.length else self.values
        drawn: Tensor = channel.sample(params, noise, temperature, earlier, site)
        return drawn

    def freeze_encoders(self) -> None:
        self.values.freeze_encoders()

    def check(self, x: Tensor) -> None:
        self.ends.check(x[:, :1])
        self.values.check(x[:, 1:])

    def extra_repr(self) -> str:
        return f"{type(self.values).__name__}, {self.values.extra_repr()}"
