"""The only sampling loops: one per way of being causal, and the naive one that every model gets for free.

All draw the value of site d from `noise[:, d]`, so the loops give the same samples for the same noise. Known values
are kept: the network is fed them in place of draws, which conditions on every known value that comes before a drawn
one in the model's order.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ar_lightning.likelihoods.base import Likelihood
from ar_lightning.models.base import RasterModel, SequenceModel, token_order
from ar_lightning.nn.streaming import start_row, streaming

__all__ = [
    "Draw",
    "in_batches",
    "sample_naive",
    "sample_orderless",
    "sample_orderless_naive",
    "sample_raster",
    "sample_sequence",
    "sampler_of",
]


def in_batches(n: int, size: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Draw n samples in batches, which are halved whenever the GPU has no memory for one.

    Args:
        n: number of samples.
        size: of a batch, at most.
        draw: draws the samples of these numbers `(B,)`.

    Raises:
        torch.OutOfMemoryError: there is no memory for a single one.
    """
    parts: list[Tensor] = []
    start = 0
    while start < n or not parts:
        try:
            parts.append(draw(torch.arange(start, min(n, start + size))))
            start += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
    return torch.cat(parts)


class Draw:
    """Chooses the value of one site of a batch: known, or drawn from the likelihood.

    Args:
        likelihood: what the parameters mean.
        noise: uniforms `(B, D, likelihood.noise)`.
        known: values to keep `(B, D)`, or None.
        mask: True where a value is known `(B, D)`, or None.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        dtype: of the network's inputs.
        progress: called with the number of values after each choice of them.
    """

    def __init__(
        self, likelihood: Likelihood, noise: Tensor, known: Tensor | None = None, mask: Tensor | None = None,
        temperature: float = 1.0, dtype: torch.dtype = torch.float32, progress: Callable[[int], Any] | None = None,
    ) -> None:  # fmt: skip
        self.likelihood, self.noise, self.known, self.mask = likelihood, noise, known, mask
        self.temperature, self.dtype, self.progress = temperature, dtype, progress

    def of(self, rows: Tensor) -> "Draw":
        """Return the same for some of the examples."""
        known, mask = (None if t is None else t[rows] for t in (self.known, self.mask))
        return Draw(self.likelihood, self.noise[rows], known, mask, self.temperature, self.dtype, self.progress)

    def __call__(self, params: Tensor, site: int | Tensor, earlier: Tensor | None = None) -> Tensor:
        """Return the values `(B,)` of a site, given its parameters `(B, P)`.

        `earlier` `(B, c)` are the channels of its pixel that come before, where the parameters are for all of them.
        """
        here = at(site)
        drawn = self.likelihood.sample(params, self.noise[here], self.temperature, earlier)
        if self.known is None or self.mask is None:
            return drawn
        return torch.where(self.mask[here], self.known[here], drawn)

    def fill(self, x: Tensor, params: Tensor, token: int | Tensor) -> Tensor:
        """Choose the values of one group of channels at a site, write them into `x`, and return them encoded.

        Args:
            x: values `(B, C, *sites)`.
            params: of the group, `(B, P)`.
            token: its index in the flattened `(groups, *sites)`; `(B,)` where each example has its own.

        Returns:
            `(B, C / groups * E)`.
        """
        values, sites = x.flatten(1), x.shape[2:].numel()  # values is a view: x fills up
        written: list[Tensor] = []
        for c in range(x.shape[1] if self.likelihood.joint else 1):
            site = token + c * sites
            earlier = torch.stack(written, 1) if c else None
            values[at(site)] = self(params, site, earlier).to(x.dtype)
            written.append(values[at(site)])
            if self.progress:
                self.progress(len(x))
        return self.encode(torch.stack(written, 1)[..., None])[..., 0]

    def begin(self, x: Tensor, order: Tensor) -> int:
        """Write the values into `x` that come first in `order` and are known of every example; return their number."""
        if self.known is None or self.mask is None:
            return 0
        n = int(self.mask.all(0)[order].long().cumprod(0).sum())
        x.flatten(1)[:, order[:n]] = self.known[:, order[:n]].to(x.dtype)
        if self.progress:
            self.progress(n * len(x))
        return n

    def encode(self, x: Tensor) -> Tensor:
        """Return what the network reads of values `(B, C, *sites)`."""
        return self.likelihood.encode(x).to(self.dtype)


def at(site: int | Tensor) -> Any:
    """Return the index, into `(B, D, ...)`, of one site, or of a site `(B,)` for each example."""
    return (slice(None), site) if isinstance(site, int) else (torch.arange(len(site), device=site.device), site)


Sampler = Callable[..., Tensor]


def sampler_of(model: torch.nn.Module) -> Sampler:
    """Return the loop that streams this model."""
    return sample_sequence if isinstance(model, SequenceModel) else sample_raster


def sample_naive(model: SequenceModel | RasterModel, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
    """Fill `x` (B, C, *sites) with a full forward pass per token."""
    groups, sites = model.shapes.groups, model.shapes.sites
    for token in token_order(model.order, model.shapes).tolist():
        params = model(draw.encode(x), cond).view(len(x), groups, -1, sites)
        draw.fill(x, params[:, token // sites, :, token % sites], token)
    return x


def sample_sequence(model: SequenceModel, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
    """Fill `x` (B, C, *sites) token by token, feeding each back; what is known at the start is read at once."""
    order = token_order(model.order, model.shapes)
    start = draw.begin(x, model.order) // (len(model.order) // len(order))  # tokens known at the start
    read = model.tokens(draw.encode(x))[:, order[:start]]
    past = F.pad(read, (0, 0, 1, 0))  # zeros stand before the first token
    with streaming(model):
        if start:
            model.scan(past[:, :-1], cond)
        token_before = past[:, -1]
        for token in order[start:].tolist():
            token_before = draw.fill(x, model.scan(token_before[:, None], cond)[:, 0], token)
    return x


def sample_orderless(model: Any, draw: Draw, x: Tensor, orders: Tensor, cond: Any = None) -> Tensor:
    """Fill `x` (B, C, *sites) token by token, each example in its order `orders` (B, tokens)."""
    past = torch.zeros(len(x), model.shapes.token_inputs, device=x.device, dtype=draw.dtype)
    path, memory = F.pad(orders, (1, 0)), None
    for i in range(orders.shape[1]):
        params, memory = model.visit(past[:, None], path[:, i : i + 2], memory, cond)
        past = draw.fill(x, params[:, 0], orders[:, i])
    return x


def sample_orderless_naive(model: Any, draw: Draw, x: Tensor, orders: Tensor, cond: Any = None) -> Tensor:
    """Do the same with a full forward pass per token, given all that is known by then."""
    groups, sites = model.shapes.groups, model.shapes.sites
    known = torch.zeros_like(orders, dtype=torch.bool)
    for token in orders.unbind(1):
        params = model(draw.encode(x), cond, known).view(len(x), groups, -1, sites)
        rows = torch.arange(len(x), device=x.device)
        draw.fill(x, params[rows, token // sites, :, token % sites], token)
        known[rows, token] = True
    return x


def sample_raster(model: RasterModel, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
    """Fill images `x` (B, C, H, W) pixel by pixel: features of a row, of each of its pixels, then the colours."""
    height, width = x.shape[2:]
    groups, sites = model.shapes.groups, model.shapes.sites
    above = torch.zeros_like(draw.encode(x[:, :, :1]))
    nothing = above[:, :, 0, 0]  # what lies left of the first pixel
    no_colour = nothing.chunk(groups, 1)[0] if groups > 1 else None
    with streaming(model):
        for i in range(height):
            start_row(model, len(x), width)
            left, row = nothing, []
            for j, column in enumerate(model.columns(model.row(above, cond))):
                pixel = model.pixel(left, column, cond)
                colours: list[Tensor] = []
                for g in range(groups):
                    earlier = colours[-1] if colours else no_colour
                    params = model.colour(earlier, _group(pixel, g, groups), cond)
                    colours.append(draw.fill(x, params, g * sites + i * width + j))
                left = torch.cat(colours, 1) if groups > 1 else colours[0]
                row.append(left)
            above = torch.stack(row, 2)[:, :, None]
    return x


def _group(features: Any, g: int, groups: int) -> Any:
    """Return the channels of group g of a feature map, or of each of a list of them."""
    if groups == 1:
        return features
    if isinstance(features, Tensor):
        return features.chunk(groups, 1)[g]
    return [_group(f, g, groups) for f in features]
