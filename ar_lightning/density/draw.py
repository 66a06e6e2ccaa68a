"""The choice of one value: a known one is kept, any other is drawn from the likelihood.

The value of site d is drawn by `noise[:, d]`, so every loop over the sites gives the same samples for the same noise.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ar_lightning.likelihoods.base import Likelihood

__all__ = ["Draw", "site_index"]


class Draw:
    """Chooses the value of one site of a batch: known, or drawn from the likelihood.

    The uniforms `noise` are `(B, D, likelihood.noise)`; `known` has values to keep where `mask` is True, `(B, D)` both,
    or None. `dtype` is that of the network's inputs. `progress` is called with the number of values just chosen.
    """

    inside = True  # its choice is a function of tensors, which a compiled step can contain

    def __init__(
        self, likelihood: Likelihood, noise: Tensor, known: Tensor | None = None, mask: Tensor | None = None,
        temperature: float = 1.0, dtype: torch.dtype = torch.float32, progress: Callable[[int], Any] | None = None,
        end: int | None = None,
    ) -> None:  # fmt: skip
        self.likelihood, self.noise, self.known, self.mask = likelihood, noise, known, mask
        self.temperature, self.dtype, self.progress, self.end = temperature, dtype, progress, end
        self.over: Tensor | None = None  # booleans `(B,)`: which examples have ended before the site to be filled
        self.nothing = 0  # the value there of those that have

    def of(self, rows: Tensor) -> "Draw":
        """Return the same for some of the examples."""
        known, mask = (None if t is None else t[rows] for t in (self.known, self.mask))
        noise = self.noise[rows]
        return Draw(self.likelihood, noise, known, mask, self.temperature, self.dtype, self.progress, self.end)

    def output(self, params: Tensor) -> Tensor:
        """Return what a compiled step gives to `fill` in place of parameters `(B, P)`, where the choice is outside."""
        return params

    def of_output(self) -> "Draw":
        """Return the same for what `output` returns."""
        return self

    def given(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the uniforms `(B, D, noise)`, the known values of the type of `x`, and their mask, `(B, D)` both."""
        if self.known is None or self.mask is None:
            return self.noise, x.flatten(1), torch.zeros_like(x.flatten(1), dtype=torch.bool)
        return self.noise, self.known.to(x.dtype), self.mask

    def __call__(self, params: Tensor, site: int | Tensor, earlier: Tensor | None = None) -> Tensor:
        """Return values `(B,)` of a site by parameters `(B, P)` and, where joint, the `earlier` channels `(B, c)`."""
        here = site_index(site)
        drawn = self.likelihood.sample(params, self.noise[here], self.temperature, earlier, site)
        if self.known is not None and self.mask is not None:
            drawn = torch.where(self.mask[here], self.known[here], drawn)
        return drawn if self.over is None else drawn.masked_fill(self.over, self.nothing)

    def fill(self, x: Tensor, params: Tensor, token: int | Tensor) -> Tensor:
        """Choose the values of one group of channels at a site and write them into `x` (B, C, *sites).

        The parameters of the group are `(B, P)`; `token` is its index in the flattened `(groups, *sites)`, or `(B,)`
        where each example has its own. Return the values encoded, `(B, C / groups * E)`.
        """
        values, sites = x.flatten(1), x.shape[2:].numel()  # values is a view: x fills up
        written: list[Tensor] = []
        if self.end is not None and token:  # sites of these data are filled from left to right, their channels in turn
            channel, last = divmod(int(token), sites)
            self.over, self.nothing = (x[:, 0, last - (not channel)] == self.end), 0 if channel else self.end
        for c in range(x.shape[1] if self.likelihood.joint else 1):
            site = token + c * sites
            earlier = torch.stack(written, 1) if c else None
            value = self(params, site, earlier).to(x.dtype)
            values[site_index(site)] = value
            written.append(value)
            if self.progress:
                self.progress(len(x))
        group = torch.stack(written, 1)[..., None] if len(written) > 1 else written[0].view(-1, 1, 1)
        return self.encode(group, token)[..., 0]

    def begin(self, x: Tensor, order: Tensor) -> int:
        """Write the values into `x` that come first in `order` and are known of every example; return their number."""
        if self.known is None or self.mask is None:
            return 0
        n = int(self.mask.all(0)[order].long().cumprod(0).sum())
        x.flatten(1)[:, order[:n]] = self.known[:, order[:n]].to(x.dtype)
        if self.progress:
            self.progress(n * len(x))
        return n

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        """Return what the network reads of values `(B, C, *sites)`, or of those of one `site`."""
        return self.likelihood.encode(x, site).to(self.dtype)


def site_index(site: int | Tensor) -> Any:
    """Return the index, into `(B, D, ...)`, of one site, or of a site `(B,)` for each example."""
    return (slice(None), site) if isinstance(site, int) else (torch.arange(len(site), device=site.device), site)
