"""The two ways a network can be causal: site after site in any order, or pixel after pixel in raster order.

Both give `forward(z, cond)`, which maps encoded inputs `(B, C * E, *sites)` to parameters `(B, groups * P, *sites)`
for all sites at once, and finer methods that read only what is new while streaming. The sampler calls those; the model
is the same. The channels of a site are read in groups (see `Shapes`): one after another, or all at once.
"""

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Order
from ar_lightning.core.spec import Shapes
from ar_lightning.nn.streaming import as_steps, with_past

__all__ = ["RasterModel", "SequenceModel", "site_order", "token_order"]


def site_order(shapes: Shapes, order: Order = "raster", seed: int = 0) -> Tensor:
    """Return the visiting order `(D,)` of the values of a `(C, *sites)` array, as indices into its flattened form.

    `raster` goes row by row, pixel by pixel, the channels of a pixel in turn; `random` is one fixed permutation, which
    keeps together the channels that are modelled jointly.
    """
    groups, sites = shapes.groups, shapes.sites
    if order == "random":
        tokens = torch.randperm(groups * sites, generator=torch.Generator().manual_seed(seed))
    else:
        tokens = torch.arange(groups * sites).view(groups, sites).t().flatten()
    return (tokens[:, None] + sites * torch.arange(shapes.data[0] // groups)).flatten()


def token_order(order: Tensor, shapes: Shapes) -> Tensor:
    """Return the order of the groups of channels, as indices into the flattened `(groups, *sites)`."""
    return order[:: shapes.data[0] // shapes.groups]


class SequenceModel(nn.Module):
    """A network that visits the values one after another, in the order `order` (D,). Subclasses implement `scan`.

    It reads and predicts tokens: one value, or all channels of a site where the likelihood models them jointly.
    `classes` is the number of classes it conditions on, 0 for none; `features` that of the features aligned with the
    sites. A model may stand for several densities, its `members`, over which a `Density` averages; `member` is the one
    that `forward` and `scan` are of at the moment. Each has its own order, or all have the same.

    Raises:
        UserError: conditional, but the data has no labels.
    """

    orders: Tensor
    members: int = 1
    member: int = 0
    features: int = 0
    before: dict[str, Any] | None = None  # while windows of a stream are read: the last token of the window before

    def __init__(
        self, shapes: Shapes, order: Order = "raster", order_seed: int = 0, conditional: bool = False, orders: int = 1
    ) -> None:
        super().__init__()
        self.shapes = shapes
        self.classes = _classes(shapes, conditional)
        # Random orders belong to the weights: they are saved, since generators may differ between versions.
        every = torch.stack([site_order(shapes, order, order_seed + k) for k in range(orders)])
        self.register_buffer("orders", every, persistent=order == "random")

    @property
    def order(self) -> Tensor:
        """The order `(D,)` in which this member visits the values, as indices into the flattened `(C, *sites)`."""
        return self.orders[self.member % len(self.orders)]

    @abstractmethod
    def scan(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map `past` (B, n, E), the encoded token before each of the next n in order, to parameters (B, n, P).

        The first token of all is preceded by zeros. In parallel mode n is their number.
        """

    def forward(self, z: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, groups * P, *sites)` of every site, given `z` `(B, C * E, *sites)`."""
        order = token_order(self.order, self.shapes)
        past = with_past(self.before, self.tokens(z)[:, order], 1, 1)[:, :-1]
        ordered = self.scan(past, cond)
        return self.at_sites(torch.empty_like(ordered).index_copy(1, order, ordered))

    def tokens(self, z: Tensor) -> Tensor:
        """Return the tokens `(B, groups * S, E)` of encoded values `(B, C * E, *sites)`, group after group."""
        return z.unflatten(1, (self.shapes.groups, -1)).flatten(3).transpose(2, 3).flatten(1, 2)

    def at_sites(self, params: Tensor) -> Tensor:
        """Return the parameters of tokens `(B, groups * S, P)` at their sites: `(B, groups * P, *sites)`."""
        grouped = params.unflatten(1, (self.shapes.groups, -1)).transpose(2, 3)
        return grouped.reshape(len(params), -1, *self.shapes.data[1:])


class RasterModel(nn.Module):
    """An image network in raster order, in three stages that each read what is finished, shifted by one.

    `row` reads the rows above, `pixel` the pixels to the left, `colour` the colours before, where the channels of a
    pixel are read one after another. Feature maps have their channels in groups, those of the first colour first.

    Raises:
        UserError: the data are no images, or conditional without labels.
    """

    orders: Tensor
    members: int = 1
    member: int = 0
    features: int = 0

    def __init__(self, shapes: Shapes, conditional: bool = False) -> None:
        super().__init__()
        if len(shapes.data) != 3:
            raise UserError(f"this model reads images (C, H, W), the data is {'x'.join(map(str, shapes.data))}")
        self.shapes = shapes
        self.classes = _classes(shapes, conditional)
        self.register_buffer("orders", site_order(shapes)[None], persistent=False)

    @property
    def order(self) -> Tensor:
        """The order `(D,)` in which the values are visited, as indices into the flattened `(C, H, W)`."""
        return self.orders[0]

    @abstractmethod
    def row(self, above: Tensor, cond: Tensor | None = None) -> Any:
        """Map the row above each row, `(B, C * E, h, W)`, to feature maps of the rows: a tensor or a list of them."""

    @abstractmethod
    def pixel(self, left: Tensor, features: Any, cond: Tensor | None = None) -> Any:
        """Map the pixel left of each, `(B, C * E, H, W)`, and the rows' features to features of the pixels.

        These are the parameters already where there is no `colour` stage. While streaming, this and `colour` are given
        one pixel, `(B, C * E)`, and return what has no sites either.
        """

    def colour(self, earlier: Tensor | None, features: Any, cond: Tensor | None = None) -> Tensor:
        """Map the colour before each, `(B, C * E, H, W)`, and the pixels' features to parameters `(B, C * P, H, W)`.

        `earlier` is None where the channels are one group. While streaming, this is given one group of a pixel.
        """
        params: Tensor = features
        return params

    def columns(self, features: Any) -> list[Any]:
        """Return the features of each pixel of a row, for `pixel`, while streaming."""
        if isinstance(features, Tensor):
            return as_steps(features[:, :, 0], 1)
        return [list(column) for column in zip(*(self.columns(f) for f in features), strict=True)]

    def forward(self, z: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, groups * P, H, W)` of every pixel, given `z` `(B, C * E, H, W)`."""
        above = F.pad(z, (0, 0, 1, 0))[:, :, :-1]
        left = F.pad(z, (1, 0))[..., :-1]
        features = self.pixel(left, self.row(above, cond), cond)
        inputs = self.shapes.inputs
        earlier = F.pad(z, (0, 0, 0, 0, inputs, 0))[:, :-inputs] if self.shapes.groups > 1 else None
        return self.colour(earlier, features, cond)


def _classes(shapes: Shapes, conditional: bool) -> int:
    if conditional and not shapes.classes:
        raise UserError("model.conditional needs labels, and the data has none")
    return shapes.classes if conditional else 0
