r"""Number columns of a mixed table, all at once: spikes and a mixture of logistics for each.

    p(v) = sum_a w_a 1[v = a] + sum_m w_m f_m(v),    f_m = s(z_m) (1 - s(z_m)) / (s_m scale),   z_m = (z - mu_m) / s_m

with z = (v - offset) / scale, s the logistic sigmoid, and one softmax for all weights. Real values that are no spike
have a density, per unit of the column; spikes have a probability. Of whole numbers all have one: a logistic puts the
mass between n - 1/2 and n + 1/2 on n, and the lowest number, where there is one, takes all that is below; so the sum
over all whole numbers is one. A missing value that counts as a value is a spike.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.medium import Column
from ar_lightning.likelihoods.base import choose

__all__ = ["Numbers"]

NEVER = -1e30  # logit of a spike that a column does not have; finite, so that gradients are


class Numbers(nn.Module):
    """The number columns of a table: N of them, with A spikes at most, M logistics, E inputs and F features."""

    encoder = ("linear", "bent", "start", "seen")  # the parameters that it has
    draws_gaps = True  # also missing values, where these are values

    scale: Tensor
    whole: Tensor
    lowest: Tensor
    spikes: Tensor
    log_unit: Tensor
    places: Tensor
    knots: Tensor
    widths: Tensor

    def __init__(self, columns: list[Column], embedding: int, features: int, components: int, floor: float) -> None:
        super().__init__()
        self.components, self.floor = components, floor
        self.is_whole = [column.is_whole for column in columns]  # as `whole`, without asking a device
        stored = [stored_spikes(column) for column in columns]
        most = max(map(len, stored), default=0)
        spikes = torch.tensor([[*s, *[math.inf] * (most - len(s))] for s in stored]).view(len(columns), most)
        lowest = [-math.inf if c.lowest is None else c.lowest - c.offset for c in columns]
        quantiles = torch.special.ndtri((torch.arange(components, dtype=torch.float64) + 0.5) / components)
        buffers = {
            "scale": torch.tensor([c.scale if c.is_whole else 1.0 for c in columns]),
            "whole": torch.tensor([c.is_whole for c in columns], dtype=torch.bool),
            "lowest": torch.tensor(lowest),
            "spikes": spikes.float(),
            # What is stored of a real number is in units of the scale.
            "log_unit": torch.tensor([0.0 if c.is_whole else math.log(c.scale) for c in columns]),
            "places": quantiles.float(),
            **intervals(columns),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        outputs = most + 3 * components
        n_intervals = self.knots.shape[1]
        self.linear = nn.Parameter(torch.randn(len(columns), embedding) * 0.5)
        self.bent = nn.Parameter(torch.randn(len(columns), n_intervals, embedding) * n_intervals**-0.5)
        self.start = nn.Parameter(torch.zeros(len(columns), embedding))
        # What a spike adds to the features; a parameter that is never used would keep processes waiting.
        self.seen = nn.Parameter(torch.randn(len(columns), most, embedding) * 0.3) if most else None
        self.weight = nn.Parameter(torch.randn(len(columns), outputs, features) * 0.1 * features**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(columns), outputs))

    @property
    def dtype(self) -> torch.dtype:
        return self.weight.dtype

    def encode(self, x: Tensor, at: slice = slice(None)) -> Tensor:
        """Return features `(B, n, E)` of values `(B, n)` of the columns `at`: linear between knots of the column.

        Gorishniy, Rubachev & Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022.
        """
        z = (x.nan_to_num() / self.scale[at]).to(self.dtype)[..., None]
        within = ((z - self.knots[at]) / self.widths[at]).clamp(0, 1)  # of each interval, how much lies below
        features = torch.asinh(z) * self.linear[at] + torch.einsum("bni,nie->bne", within, self.bent[at])
        features = features + self.start[at]
        if self.seen is None:
            return features
        return features + torch.einsum("bna,nae->bne", self._spike(x, at).to(z.dtype), self.seen[at])

    def log_prob(self, h: Tensor, x: Tensor) -> Tensor:
        """Score values `(B, N)` of all columns, given features `(B, N, F)`: `(B, N)` nats, per unit of the column."""
        log_w, mean, log_s = self._split(torch.einsum("bnf,npf->bnp", h, self.weight) + self.bias)
        n_spikes = self.spikes.shape[1]
        log_spikes, log_w = log_w[..., :n_spikes], log_w[..., n_spikes:]
        known = x.nan_to_num()[..., None]  # (B, N, 1)
        smooth = (log_w + self._log_logistic(known, mean, log_s)).logsumexp(-1)
        if not n_spikes:
            return smooth
        is_spike = self._spike(x, slice(None))  # (B, N, A)
        spike = log_spikes.masked_fill(~is_spike, NEVER).logsumexp(-1)
        both = torch.where(x.isnan(), spike, torch.logaddexp(spike, smooth))
        return torch.where(self.whole, both, torch.where(is_spike.any(-1), spike, smooth))

    def sample(self, h: Tensor, noise: Tensor, j: int, temperature: float = 1.0) -> Tensor:
        """Draw values `(B,)` of one column from features `(B, F)` and uniforms `(B, 2)`.

        A temperature T raises the weights to 1 / T and widens the logistics by T.
        """
        log_w, mean, log_s = self._split((h @ self.weight[j].T + self.bias[j])[:, None], slice(j, j + 1))
        which, u = noise.unbind(1)
        n_spikes = self.spikes.shape[1]
        log_w = log_w[:, 0] / temperature
        if not self.draws_gaps:
            log_w = log_w.masked_fill(F.pad(self.spikes[j].isnan(), (0, self.components)), -torch.inf)
        k = choose(log_w, which)[:, None]  # (B, 1)
        m = (k - n_spikes).clamp(min=0)
        mean, log_s = (t[:, 0].gather(1, m)[:, 0] for t in (mean, log_s))
        u = u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps)
        x = (mean + log_s.exp() * temperature * (u.log() - torch.log1p(-u))) * self.scale[j]
        if self.is_whole[j]:
            x = torch.ceil(x - 0.5).clamp(min=self.lowest[j])
        if not n_spikes:
            return x
        spike = self.spikes[j].gather(0, k[:, 0].clamp(max=n_spikes - 1))
        return torch.where(k[:, 0] < n_spikes, spike, x)

    def _split(self, params: Tensor, at: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log-weights of spikes and logistics `(B, n, A + M)`, and means and log-scales of z `(B, n, M)`."""
        m = self.components
        logits, mean, raw = params.split([self.spikes.shape[1] + m, m, m], -1)
        absent = F.pad(self.spikes[at].isinf(), (0, m))
        log_w = logits.masked_fill(absent, NEVER).log_softmax(-1)
        return log_w, mean + self.places, (F.softplus(raw) + self.floor).log()

    def _log_logistic(self, x: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
        """Return what each logistic gives to values `(B, N, 1)`: `(B, N, M)`, log-densities or log-masses."""
        scale = self.scale[:, None]
        half = 0.5 / scale
        z = x / scale - mean
        inverse = (-log_s).exp()
        standard = z * inverse
        density = -standard.abs() - 2 * torch.log1p((-standard.abs()).exp()) - log_s - self.log_unit[:, None]
        if not any(self.is_whole):
            return density
        above, below = (z + half) * inverse, (z - half) * inverse
        # s(above) - s(below) = s(above) s(-below) (1 - exp(below - above)): no mass is rounded to zero.
        between = F.logsigmoid(-below) + torch.log(-torch.expm1(-2 * half * inverse))
        mass = F.logsigmoid(above) + torch.where(x <= self.lowest[:, None], 0.0, between)
        return torch.where(self.whole[:, None], mass, density)

    def _spike(self, x: Tensor, at: slice) -> Tensor:
        """Return which spike each value `(B, n)` is: booleans `(B, n, A)`. NaN is a missing value."""
        spikes, x = self.spikes[at], x[..., None]
        return (x == spikes) | (x.isnan() & spikes.isnan())


def intervals(columns: list[Column]) -> dict[str, Tensor]:
    """Return where the intervals between the knots of each column begin and how wide they are, `(N, I)` each, of z.

    A column of fewer has others that no value reaches.
    """
    knots = [[(knot - column.offset) / column.scale for knot in column.knots] for column in columns]
    n = max([1, *(len(k) - 1 for k in knots)])
    begin, width = torch.full((len(columns), n), 1e30), torch.full((len(columns), n), 1e30)
    for d, k in enumerate(knots):
        at = torch.tensor(k, dtype=torch.float64)
        begin[d, : max(len(k) - 1, 0)], width[d, : max(len(k) - 1, 0)] = at[:-1], at.diff()
    return {"knots": begin, "widths": width.clamp(min=1e-6)}


def stored_spikes(column: Column) -> list[float]:
    """Return the spikes of a column as its values are stored; a missing value that counts as one is NaN."""
    spikes = [
        float(torch.tensor((value - column.offset) / column.unit, dtype=torch.float32)) for value in column.spikes
    ]
    return [*spikes, *([math.nan] if column.gaps == "level" else [])]
