"""The loops over the sites: one for each way of being causal, and the naive one, which takes any model.

Known values are fed to the network in place of draws: a draw is conditioned on every known value that comes before it
in the model's order.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ar_lightning.core.condition import rows_of
from ar_lightning.density.draw import Draw
from ar_lightning.models.base import RasterModel, SequenceModel
from ar_lightning.models.orders import token_order
from ar_lightning.nn.streaming import Streaming, Walk, streaming

__all__ = [
    "group_of", "in_batches", "loop_of", "sample_naive", "sample_orderless", "sample_orderless_naive", "sample_raster",
]  # fmt: skip

FINISHED = 7 / 8  # of a batch: where no more are left that have not ended, these go on alone


def in_batches(n: int, size: int, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Draw n samples by their numbers `(B,)`, in batches that are halved whenever the GPU has no memory for one."""
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


def loop_of(model: torch.nn.Module) -> Callable[..., Tensor]:
    """Return the loop that streams this model."""
    return sample_sequence if isinstance(model, SequenceModel) else sample_raster


def sample_naive(model: SequenceModel | RasterModel, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
    """Fill `x` (B, C, *sites) with a full forward pass per token."""
    groups, sites = model.shapes.groups, model.shapes.sites
    for token in token_order(model.order, model.shapes).tolist():
        params = model(draw.encode(x), cond).view(len(x), groups, -1, sites)
        draw.fill(x, params[:, token // sites, :, token % sites], token)
    return x


def sample_sequence(
    model: SequenceModel, draw: Draw, x: Tensor, cond: Any = None, rest: Callable[..., bool] | None = None
) -> Tensor:
    """Fill `x` (B, C, *sites) token by token, feeding each back; what is known at the start is read at once.

    Examples that have ended are not read on, where the model's memory can go on with the others alone. `rest` is tried
    on what comes after the first token that is drawn: it may fill that by other means, and say so.
    """
    order = token_order(model.order, model.shapes)
    start = draw.begin(x, model.order) // (len(model.order) // len(order))  # tokens known at the start
    read = model.tokens(draw.encode(x))[:, order[:start]]
    past = F.pad(read, (0, 0, 1, 0))  # zeros stand before the first token
    whole, rows = x, torch.arange(len(x), device=x.device)  # all examples, and those of them that go on
    with streaming(model):
        if start:
            model.scan(past[:, :-1], cond)
        token_before = past[:, -1]
        for token in order[start:].tolist():
            token_before = draw.fill(x, model.scan(token_before[:, None], cond)[:, 0], token)
            if rest and rest(model, draw, x, cond, start + 1, token_before):
                break
            rest = None
            if draw.end is None:
                continue
            left = (x[:, 0, token % x.shape[2]] != draw.end).nonzero()[:, 0]
            if len(left) > FINISHED * len(x):
                continue
            if not len(left):
                break
            if model.any_length:
                if x is not whole:
                    whole[rows] = x
                rows, x, token_before = rows[left], x[left], token_before[left]
                draw, cond = draw.of(left), rows_of(cond, left)
                for m in model.modules():
                    if isinstance(m, Streaming):
                        m.keep(left)
    if x is not whole:
        whole[rows] = x
    return whole


def sample_orderless(
    model: Any, draw: Draw, x: Tensor, cond: Any, orders: Tensor, rest: Callable[..., bool] | None = None
) -> Tensor:
    """Fill `x` (B, C, *sites) token by token, each example in its order `orders` (B, tokens); `rest` as above."""
    past = torch.zeros(len(x), model.shapes.token_inputs, device=x.device, dtype=draw.dtype)
    one = len(orders) > 0 and bool((orders == orders[:1]).all())  # for all, whose weights are then looked up once
    path = F.pad(orders[0] if one else orders, (1, 0))
    with streaming(model):
        for i in range(orders.shape[1]):
            params = model.scan_in(past[:, None], path, cond)[:, 0]
            past = draw.fill(x, params, int(orders[0, i]) if one else orders[:, i])
            if rest and rest(model, draw, x, cond, i + 1, past, path):
                break
            rest = None
    return x


def sample_orderless_naive(model: Any, draw: Draw, x: Tensor, cond: Any, orders: Tensor) -> Tensor:
    """Do the same with a full forward pass per token."""
    groups, sites = model.shapes.groups, model.shapes.sites
    rows = torch.arange(len(x), device=x.device)
    for token in orders.unbind(1):
        params = model.in_orders(draw.encode(x), orders, cond).view(len(x), groups, -1, sites)
        draw.fill(x, params[rows, token // sites, :, token % sites], token)
    return x


def sample_raster(model: RasterModel, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
    """Fill images `x` (B, C, H, W) pixel by pixel: features of a row, of each of its pixels, then the colours."""
    height, width = x.shape[2:]
    groups, sites = model.shapes.groups, model.shapes.sites
    above = torch.zeros_like(draw.encode(x[:, :, :1]))
    nothing = above[:, :, 0, 0]  # what lies left of the first pixel
    no_colour = nothing.chunk(groups, 1)[0] if groups > 1 else None
    with streaming(model):
        walk = Walk(model, len(x), width, groups)
        for i in range(height):
            walk.start_row(i)
            left, row = nothing, []
            for j, column in enumerate(model.columns(model.row(above, cond))):
                walk.move(j, 0)
                pixel = model.pixel(left, column, cond)
                colours: list[Tensor] = []
                for g in range(groups):
                    if g:
                        walk.move(j, g)
                    earlier = colours[-1] if colours else no_colour
                    params = model.colour(earlier, group_of(pixel, g, groups), cond)
                    colours.append(draw.fill(x, params, g * sites + i * width + j))
                left = torch.cat(colours, 1) if groups > 1 else colours[0]
                row.append(left)
            above = torch.stack(row, 2)[:, :, None]
    return x


def group_of(features: Any, g: int, groups: int) -> Any:
    """Return the channels of group g of a feature map, or of each of a list of them."""
    if groups == 1:
        return features
    if isinstance(features, Tensor):
        return features.chunk(groups, 1)[g]
    return [group_of(f, g, groups) for f in features]
