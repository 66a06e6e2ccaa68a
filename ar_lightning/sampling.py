"""The only sampling loops: one per way of being causal, and the naive one that every model gets for free.

All draw the value of site d from `noise[:, d]`, so the loops give the same samples for the same noise. Known values
are kept: the network is fed them in place of draws, which conditions on every known value that comes before a drawn
one in the model's order.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ar_lightning.likelihoods import Likelihood
from ar_lightning.nn.causal import RasterModel, SequenceModel
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

    def __call__(self, params: Tensor, site: int) -> Tensor:
        """Return the values `(B,)` of a site, given its parameters `(B, P)`."""
        drawn = self.likelihood.sample(params, self.noise[:, site], self.temperature)
        if self.known is None or self.mask is None:
            return drawn
        return torch.where(self.mask[:, site], self.known[:, site], drawn)

    def encode(self, x: Tensor) -> Tensor:
        """Return what the network reads of values `(B, C, *sites)`."""
        return self.likelihood.encode(x).to(self.dtype)


Sampler = Callable[..., Tensor]


def sampler_of(model: torch.nn.Module) -> Sampler:
    """Return the loop that streams this model."""
    return sample_sequence if isinstance(model, SequenceModel) else sample_raster


def sample_naive(model: SequenceModel | RasterModel, draw: Draw, x: Tensor, cond: Tensor | None = None) -> Tensor:
    """Fill `x` (B, C, *sites) with a full forward pass per value."""
    flat = x.flatten(1)  # a view: x fills up as sites are drawn
    for site in model.order.tolist():
        params = model(draw.encode(x), cond)
        per_value = params.view(len(x), x.shape[1], model.shapes.params, -1).transpose(2, 3).flatten(1, 2)  # (B, D, P)
        flat[:, site] = draw(per_value[:, site], site)
    return x


def sample_sequence(model: SequenceModel, draw: Draw, x: Tensor, cond: Tensor | None = None) -> Tensor:
    """Fill `x` (B, C, *sites) value by value, feeding each back to the network."""
    flat = x.flatten(1)
    past = torch.zeros(len(x), 1, model.shapes.inputs, device=x.device, dtype=draw.dtype)
    with streaming(model):
        for site in model.order.tolist():
            value = draw(model.scan(past, cond)[:, 0], site)
            flat[:, site] = value
            past = draw.encode(value[:, None, None])[:, None, :, 0]
    return x


def sample_raster(model: RasterModel, draw: Draw, x: Tensor, cond: Tensor | None = None) -> Tensor:
    """Fill images `x` (B, 1, H, W) pixel by pixel: row features once per row, then the pixels from the left."""
    height, width = x.shape[2:]
    nothing = torch.zeros_like(draw.encode(x[:, :, :1]))  # what lies above the first row, and left of the first pixel
    with streaming(model):
        for i in range(height):
            start_row(model, len(x), width)
            features = model.row(draw.encode(x[:, :, i - 1 : i]) if i else nothing, cond)
            for j in range(width):
                left = draw.encode(x[:, :, i : i + 1, j - 1 : j]) if j else nothing[..., :1]
                params = model.pixel(left, features[..., j : j + 1], cond)
                x[:, 0, i, j] = draw(params[:, :, 0, 0], i * width + j)
    return x
