r"""The discretized logistic mixture of PixelCNN++: ordered levels, scored by the mass that logistics put on each.

    p(x | pi, mu, s) = sum_m pi_m [sigma((x + h - mu_m) / s_m) - sigma((x - h - mu_m) / s_m)]

where x is the level, scaled to [-1, 1], and h half the distance between levels; the outermost levels take the tails.
The channels of an RGB pixel share the mixture's indicator, and their means are linear in the channels before:

    mu_G = mu'_G + alpha x_R,    mu_B = mu'_B + beta x_R + gamma x_G

Salimans, Karpathy, Chen & Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and
Other Modifications", ICLR 2017, sections 2.1 and 2.2. As in its code, coefficients pass through a tanh and log-scales
are at least -7. The difference of sigmoids is taken in the log domain, so that no level has a probability of zero.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, distributions

from ar_lightning.core.fields import PositiveInt
from ar_lightning.core.levels import spread
from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood, at_least_float32, categorical, check_levels, choose

__all__ = ["DiscretizedLogisticMixture"]

MIN_LOG_SCALE = -7.0
GRID = 4096  # the edges between levels are kept as a multiple of 1 / GRID, exact in float32, and a small rest


class DiscretizedLogisticMixture(Likelihood):
    """Ordered values on K levels, scored by a mixture of logistics whose tails the outermost levels take.

    The channels of an RGB pixel are joint: the parameters are per site.

    References:
        Salimans, Karpathy, Chen & Kingma, PixelCNN++ (2017).

    Args:
        mixtures: logistics M in the mixture.

    Example:
        >>> likelihood = DiscretizedLogisticMixture(DataSpec((1, 1), levels=3), mixtures=1)
        >>> p = [likelihood.log_prob(torch.zeros(1, 3, 1), torch.tensor([[[x]]])).exp().item() for x in range(3)]
        >>> [round(v, 4) for v in p]
        [0.3775, 0.2449, 0.3775]
    """

    supports = ("binary", "levels")
    channels = (1, 3)
    ordinal = True
    noise = 2  # which logistic, and where on it

    def __init__(self, spec: DataSpec, *, mixtures: PositiveInt = 10) -> None:
        super().__init__()
        if spec.levels is None or spec.levels < 2:
            raise ValueError(f"the discretized logistic mixture needs data on two levels or more, not {spec}")
        if spec.shape[0] not in self.channels:
            raise ValueError(f"the discretized logistic mixture takes data of 1 or 3 channels, not {spec}")
        self.levels, self.mixtures, self.colours = spec.levels, mixtures, spec.shape[0]
        self.joint = self.colours > 1
        self.params = mixtures * (1 + 2 * self.colours + self.colours * (self.colours - 1) // 2)

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        return spread(x.float(), self.levels)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        mixture = _Mixture(params, self.mixtures, self.colours)
        before = spread(x.to(mixture.log_weights.dtype), self.levels)
        log_weights, conditionals = mixture.log_weights, []
        for c in range(self.colours):
            joint = log_weights + self._log_mass(mixture, c, x[:, c : c + 1], before)
            conditionals.append(joint.logsumexp(1))
            log_weights = joint - conditionals[-1].unsqueeze(1)  # given this channel too
        return torch.stack(conditionals, 1)

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Categorical:
        mixture = _Mixture(params[..., None], self.mixtures, self.colours)
        x = x[..., None]  # (B, C, *sites, 1)
        before = spread(x.to(mixture.log_weights.dtype), self.levels)
        every = torch.arange(self.levels, device=x.device).expand(*x[:, :1].shape[:-1], -1)  # (B, 1, *sites, K)
        log_weights, log_p = mixture.log_weights, []
        for c in range(self.colours):
            log_p.append((log_weights + self._log_mass(mixture, c, every, before)).logsumexp(1))
            log_weights = log_weights + self._log_mass(mixture, c, x[:, c : c + 1], before)  # up to a constant
        return categorical(torch.stack(log_p, 1))

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        earlier = noise.new_zeros(len(noise), 0, dtype=torch.long) if earlier is None else earlier
        if temperature != 1:  # of the distribution over levels, as everywhere; it is no mixture of logistics any more
            site = F.pad(earlier, (0, self.colours - earlier.shape[1]))[..., None]
            logits = self.distribution(params[..., None], site).logits[:, earlier.shape[1], 0]
            return choose(logits / temperature, noise[:, 1].to(logits.dtype))
        mixture = _Mixture(params[..., None], self.mixtures, self.colours)  # one site
        log_weights = mixture.log_weights  # (N, M, 1)
        before, channel = spread(earlier[..., None].to(log_weights.dtype), self.levels), earlier.shape[1]
        for c in range(channel):
            log_weights = log_weights + self._log_mass(mixture, c, earlier[:, c, None, None], before)
        which, u = noise.to(log_weights.dtype).unbind(1)
        m = choose(log_weights[..., 0], which)[:, None, None]
        mean, log_scale = (t.gather(1, m)[:, 0, 0] for t in mixture.logistic(channel, before))
        u = u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps)
        y = mean + log_scale.exp() * (u.log() - torch.log1p(-u))
        return ((y + 1) * ((self.levels - 1) / 2)).round().clamp(0, self.levels - 1).long()

    def check(self, x: Tensor) -> None:
        check_levels(x, self.levels)

    def _log_mass(self, mixture: "_Mixture", c: int, level: Tensor, before: Tensor) -> Tensor:
        """Return what each logistic of channel c puts on a level `(B, 1, *sites)`: `(B, M, *sites)` nats.

        `before` are the channels before c, in [-1, 1].
        """
        mean, log_scale = mixture.logistic(c, before)
        level = level.long()
        inverse = torch.exp(-log_scale)
        above, below = (self._distance(edge, mean) * inverse for edge in (level, level - 1))
        log_width = math.log(2 / (self.levels - 1)) - log_scale
        up_to, beyond = F.logsigmoid(above), F.logsigmoid(-below)
        # log(sigma(a) - sigma(b)) = log sigma(a) + log sigma(-b) + log(1 - e^(b-a)) keeps all digits of either tail.
        inside = up_to + beyond + _log1mexp(log_width)
        return torch.where(level == 0, up_to, torch.where(level == self.levels - 1, beyond, inside))

    def _distance(self, level: Tensor, mean: Tensor) -> Tensor:
        """Return how far the upper edge of a level lies from the mean.

        The edge is split into an exact part and a rest: rounded to float32, it would be off by 1e-4 of a small scale.
        """
        numerator = (2 * level + 2 - self.levels) * GRID
        coarse = torch.div(numerator, self.levels - 1, rounding_mode="floor")
        rest = numerator - coarse * (self.levels - 1)
        return (coarse.to(mean.dtype) / GRID - mean) + rest.to(mean.dtype) / (GRID * (self.levels - 1))

    def extra_repr(self) -> str:
        return f"levels={self.levels}, mixtures={self.mixtures}, joint={self.joint}"


class _Mixture:
    """The network's output `(B, P, *sites)` taken apart: log-weights `(B, M, *sites)`, and a logistic a channel."""

    def __init__(self, params: Tensor, mixtures: int, channels: int) -> None:
        parts = at_least_float32(params).unflatten(1, (-1, mixtures))  # (B, P / M, M, *sites)
        sizes = (1, channels, channels, parts.shape[1] - 1 - 2 * channels)
        logits, self.means, log_scales, coefficients = parts.split(sizes, 1)
        self.log_weights = torch.log_softmax(logits[:, 0], 1)
        self.log_scales = log_scales.clamp(min=MIN_LOG_SCALE)
        self.coefficients = torch.tanh(coefficients)

    def logistic(self, c: int, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-scale `(B, M, *sites)` of channel c, given the channels `(B, >= c, *sites)` before."""
        mean = self.means[:, c]
        for j in range(c):
            mean = mean + self.coefficients[:, c * (c - 1) // 2 + j] * before[:, j : j + 1]
        return mean, self.log_scales[:, c]


def _log1mexp(log_d: Tensor) -> Tensor:
    """Return log(1 - exp(-d)) of log d, also where d vanishes; neither value nor gradient is ever lost."""
    d = log_d.exp()
    small = d < 1e-3
    series = log_d - d / 2 + d * d / 24  # off by d^4 / 2880
    return torch.where(small, series, torch.log(-torch.expm1(-d.masked_fill(small, 1.0))))
