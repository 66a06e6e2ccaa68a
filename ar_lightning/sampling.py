"""The only sampling loops: one per way of being causal, and the naive one that every model gets for free.

All draw the value of site d from `noise[:, d]`, so the loops give the same samples for the same noise. Known values
are kept: the network is fed them in place of draws, which conditions on every known value that comes before a drawn
one in the model's order.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ar_lightning.likelihoods import Likelihood
from ar_lightning.nn.causal import RasterModel, SequenceModel, token_order
from ar_lightning.nn.streaming import start_row, streaming

__all__ = ["Draw", "sample_naive", "sample_raster", "sample_sequence", "sampler_of"]


class Draw:
    """Chooses the value of one site of a batch: known, or drawn from the likelihood.

    Args:
        likelihood: what the parameters mean.
        noise: uniforms `(B, D, likelihood.noise)`.
        known: values to keep `(B, D)`, or None.
        mask: True where a value is known `(B, D)`, or None.
        temperature: below 1 sharpens, above 1 flattens each conditional.
        dtype: of the network's inputs.
    """

    def __init__(
        self, likelihood: Likelihood, noise: Tensor, known: Tensor | None = None, mask: Tensor | None = None,
        temperature: float = 1.0, dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        self.likelihood, self.noise, self.known, self.mask = likelihood, noise, known, mask
        self.temperature, self.dtype = temperature, dtype

    def __call__(self, params: Tensor, site: int, earlier: Tensor | None = None) -> Tensor:
        """Return the values `(B,)` of a site, given its parameters `(B, P)`.

        `earlier` `(B, c)` are the channels of its pixel that come before, where the parameters are for all of them.
        """
        drawn = self.likelihood.sample(params, self.noise[:, site], self.temperature, earlier)
        if self.known is None or self.mask is None:
            return drawn
        return torch.where(self.mask[:, site], self.known[:, site], drawn)

    def fill(self, x: Tensor, params: Tensor, token: int) -> Tensor:
        """Choose the values of one group of channels at a site, write them into `x`, and return them encoded.

        Args:
            x: values `(B, C, *sites)`.
            params: of the group, `(B, P)`.
            token: its index in the flattened `(groups, *sites)`.

        Returns:
            `(B, C / groups * E)`.
        """
        values, sites = x.flatten(1), x.shape[2:].numel()  # values is a view: x fills up
        channels = range(token, values.shape[1], sites) if self.likelihood.joint else (token,)
        for c, site in enumerate(channels):
            earlier = values[:, token:site:sites] if c else None
            values[:, site] = self(params, site, earlier)
        written = values[:, token::sites] if self.likelihood.joint else values[:, token, None]
        return self.encode(written[..., None])[..., 0]

    def encode(self, x: Tensor) -> Tensor:
        """Return what the network reads of values `(B, C, *sites)`."""
        return self.likelihood.encode(x).to(self.dtype)


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
    """Fill `x` (B, C, *sites) token by token, feeding each back to the network."""
    past = torch.zeros(len(x), model.shapes.token_inputs, device=x.device, dtype=draw.dtype)
    with streaming(model):
        for token in token_order(model.order, model.shapes).tolist():
            past = draw.fill(x, model.scan(past[:, None], cond)[:, 0], token)
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
