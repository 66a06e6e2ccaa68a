"""The order in which a model visits the values of an example."""

import torch
from torch import Tensor

from ar_lightning.core.fields import Order
from ar_lightning.core.spec import Shapes

__all__ = ["site_order", "token_order", "value_order"]


def site_order(shapes: Shapes, order: Order = "raster", seed: int = 0) -> Tensor:
    """Return the visiting order `(D,)` of the values of a `(C, *sites)` array, as indices into its flattened form.

    `raster` goes row by row, pixel by pixel, the channels of a pixel in turn; `random` is one fixed permutation, which
    keeps together the channels that are modelled jointly. What is given comes first in both.
    """
    groups, sites, given = shapes.groups, shapes.sites, shapes.given
    if order == "random":
        others = torch.randperm(groups * sites - given, generator=torch.Generator().manual_seed(seed))
        tokens = torch.cat([torch.arange(given), given + others])
    else:
        tokens = torch.arange(groups * sites).view(groups, sites).t().flatten()
    return value_order(tokens, shapes)


def token_order(order: Tensor, shapes: Shapes) -> Tensor:
    """Return the order of the groups of channels, as indices into the flattened `(groups, *sites)`."""
    return order[:: shapes.data[0] // shapes.groups]


def value_order(tokens: Tensor, shapes: Shapes) -> Tensor:
    """Return the order `(..., D)` of the values, of that `(..., tokens)` of their groups, as `token_order` gives it."""
    channels = torch.arange(shapes.data[0] // shapes.groups, device=tokens.device)
    return (tokens[..., None] + shapes.sites * channels).flatten(-2)
