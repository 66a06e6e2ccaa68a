r"""Mixture densities for real values, after Bishop's mixture density networks (1994) and RNADE (2013).

    p(x | pi, mu, s) = sum_m pi_m f((x - mu_m) / s_m) / s_m,    f(z) = exp(-z^2 / 2) / sqrt(2 pi)  or  exp(-|z|) / 2

with weights by a softmax and scales s = softplus(.) + floor: a floor, since a component that shrinks onto one value of
the data has a likelihood without bound. Means are relative to places spread like a standard normal, so that components
differ where all parameters are zero. Densities are in nats per unit of x, and may be positive.

Uria, Murray & Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NIPS 2013. Deviation: its
scales are exponentials.
"""

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, distributions

from ar_lightning.core.fields import PositiveFloat, PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood, at_least_float32, categorical, choose

__all__ = ["GaussianMixture", "LaplaceMixture"]

LOG_SQRT_2PI = math.log(2 * math.pi) / 2
REACH = 16.0  # scales around each component where a tempered mixture is tabulated
POINTS = 129  # around each component


class Mixture(Likelihood):
    """What mixtures have in common; subclasses say what a component is.

    Args:
        components: components M of the mixture.
        floor: smallest scale of a component, in units of the data.
    """

    supports: tuple[str, ...] = ("real",)
    noise = 2  # which component, and where on it
    places: Tensor
    component: type[distributions.Normal] | type[distributions.Laplace]
    tempered_by: float  # the scale of a component raised to 1 / T is T to this power times the scale

    def __init__(self, spec: DataSpec, *, components: PositiveInt = 10, floor: PositiveFloat = 1e-3) -> None:
        super().__init__()
        if spec.levels is not None:
            raise ValueError(f"mixtures of densities need real values, not {spec}: set data.dequantise=true")
        self.components, self.floor = components, floor
        self.params = 3 * components
        places = torch.special.ndtri((torch.arange(components, dtype=torch.float64) + 0.5) / components)
        self.register_buffer("places", places, persistent=False)

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """Return log f(z) in nats, elementwise."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Return the z at which the distribution function of f is u, elementwise, for u in (0, 1)."""

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        return x if x.is_floating_point() else x.float()

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        log_weights, means, scales = self._split(params, x.shape[1])  # (B, C, M, *sites) each
        return self._log_mixture(log_weights, means, scales, x.to(means.dtype).unsqueeze(2), 2)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.MixtureSameFamily:
        log_weights, means, scales = (t.movedim(2, -1) for t in self._split(params, x.shape[1]))
        component = self.component(means, scales, validate_args=False)
        return distributions.MixtureSameFamily(categorical(log_weights), component, validate_args=False)

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        log_weights, means, scales = (t[:, 0] for t in self._split(params, 1))  # (N, M) each
        which, u = noise.to(means.dtype).unbind(1)
        if temperature != 1:
            return self._sample_tempered(log_weights, means, scales, u, temperature)
        m = choose(log_weights, which)[:, None]
        u = u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps)
        return means.gather(1, m)[:, 0] + scales.gather(1, m)[:, 0] * self.quantile(u)

    def check(self, x: Tensor) -> None:
        if not torch.isfinite(x).all():
            raise ValueError("expected real values, got NaN or infinite ones")

    def _split(self, params: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights, means and scales, `(B, C, M, *sites)` each."""
        logits, means, raw = at_least_float32(params).unflatten(1, (channels, 3, self.components)).unbind(2)
        places = self.places.to(means.dtype).view(-1, *[1] * (means.ndim - 3))
        return torch.log_softmax(logits, 2), means + places, F.softplus(raw) + self.floor

    def _log_mixture(self, log_weights: Tensor, means: Tensor, scales: Tensor, x: Tensor, dim: int) -> Tensor:
        """Return the log-density of `x`, which broadcasts over the components along `dim`."""
        return (log_weights + self.log_density((x - means) / scales) - scales.log()).logsumexp(dim)

    def _sample_tempered(
        self, log_weights: Tensor, means: Tensor, scales: Tensor, u: Tensor, temperature: float
    ) -> Tensor:
        """Draw from the mixture's density raised to 1 / temperature, which is no mixture: by a table of its integral.

        The density is tabulated around each component, finely within the scale that it and its power have, and is
        linear in between: its error is about 1e-3.
        """
        t = torch.linspace(-1, 1, POINTS, dtype=means.dtype, device=means.device)
        power = temperature**self.tempered_by
        steps = torch.cat([t * REACH, t.sign() * t.abs() ** 3 * REACH * power])
        x = (means[:, :, None] + scales[:, :, None] * steps).flatten(1).sort(1).values  # (N, points)
        log_w, mu, s = (t[:, :, None] for t in (log_weights, means, scales))
        log_p = self._log_mixture(log_w, mu, s, x[:, None], 1) / temperature
        p = (log_p - log_p.amax(1, keepdim=True)).exp()
        width = x.diff(dim=1)
        total = ((p[:, 1:] + p[:, :-1]) / 2 * width).cumsum(1)
        target = u[:, None] * total[:, -1:]
        i = (total <= target).sum(1, keepdim=True).clamp(max=total.shape[1] - 1)
        rest = target - F.pad(total, (1, 0)).gather(1, i)
        p0, p1, w = p.gather(1, i), p.gather(1, i + 1), width.gather(1, i)
        root = (p0 * p0 + 2 * (p1 - p0) * rest / w.clamp(min=torch.finfo(w.dtype).tiny)).clamp(min=0).sqrt()
        step = 2 * rest / (p0 + root).clamp(min=torch.finfo(w.dtype).tiny)
        return (x.gather(1, i) + step.minimum(w))[:, 0]

    def extra_repr(self) -> str:
        return f"components={self.components}, floor={self.floor:g}"


class GaussianMixture(Mixture):
    """Real values, scored by a mixture of Gaussians.

    References:
        Uria, Murray & Larochelle, RNADE (2013).

    Example:
        >>> likelihood = GaussianMixture(DataSpec((1, 1), levels=None), components=1, floor=1.0)
        >>> params = torch.tensor([[[0.0], [0.0], [-100.0]]])  # mean 0, scale 1
        >>> round(likelihood.log_prob(params, torch.zeros(1, 1, 1)).item(), 4)
        -0.9189
    """

    component = distributions.Normal
    tempered_by = 0.5

    def log_density(self, z: Tensor) -> Tensor:
        return -z * z / 2 - LOG_SQRT_2PI

    def quantile(self, u: Tensor) -> Tensor:
        return torch.special.ndtri(u)


class LaplaceMixture(Mixture):
    """Real values, scored by a mixture of Laplace distributions, whose tails are heavier.

    References:
        Uria, Murray & Larochelle, RNADE (2013).

    Example:
        >>> likelihood = LaplaceMixture(DataSpec((1, 1), levels=None), components=1, floor=1.0)
        >>> params = torch.tensor([[[0.0], [0.0], [-100.0]]])  # mean 0, scale 1
        >>> round(likelihood.log_prob(params, torch.zeros(1, 1, 1)).exp().item(), 4)
        0.5
    """

    component = distributions.Laplace
    tempered_by = 1.0

    def log_density(self, z: Tensor) -> Tensor:
        return -z.abs() - math.log(2)

    def quantile(self, u: Tensor) -> Tensor:
        tail = torch.minimum(u, 1 - u)
        return torch.where(u < 0.5, 1.0, -1.0) * torch.log(2 * tail)
