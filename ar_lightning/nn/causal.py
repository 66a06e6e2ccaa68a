"""The two ways a network can be causal: site after site in any order, or pixel after pixel in raster order.

Both give `forward(z, cond)`, which maps encoded inputs `(B, C * E, *sites)` to parameters `(B, C * P, *sites)` for
all sites at once, and a finer method that reads only new sites while streaming. The sampler calls that one; the model
is the same.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.errors import UserError
from ar_lightning.fieldtypes import Order
from ar_lightning.spec import Shapes

__all__ = ["RasterModel", "SequenceModel", "site_order"]


def site_order(shapes: Shapes, order: Order = "raster", seed: int = 0) -> Tensor:
    """Return the visiting order `(D,)` of the values of a `(C, *sites)` array, as indices into its flattened form.

    `raster` goes row by row, pixel by pixel, the channels of a pixel in turn; `random` is one fixed permutation.
    """
    if order == "random":
        return torch.randperm(shapes.dims, generator=torch.Generator().manual_seed(seed))
    return torch.arange(shapes.dims).view(shapes.data[0], -1).t().flatten()


class SequenceModel(nn.Module):
    """A network that visits the values one after another, in the order `order` (D,). Subclasses implement `scan`.

    `classes` is the number of classes it conditions on, 0 for none.

    Raises:
        UserError: conditional, but the data has no labels.
    """

    order: Tensor

    def __init__(self, shapes: Shapes, order: Order = "raster", order_seed: int = 0, conditional: bool = False) -> None:
        super().__init__()
        self.shapes = shapes
        self.classes = _classes(shapes, conditional)
        # A random order belongs to the weights: it is saved, since generators may differ between versions.
        self.register_buffer("order", site_order(shapes, order, order_seed), persistent=order == "random")

    @abstractmethod
    def scan(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map `past` (B, n, E), the encoded value before each of the next n sites in order, to parameters (B, n, P).

        The first site of all is preceded by zeros. In parallel mode n = D.
        """

    def forward(self, z: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, C * P, *sites)` of every site, given `z` `(B, C * E, *sites)`."""
        channels, *sites = self.shapes.data
        values = z.unflatten(1, (channels, self.shapes.inputs)).flatten(3).transpose(2, 3).flatten(1, 2)  # (B, D, E)
        past = F.pad(values[:, self.order[:-1]], (0, 0, 1, 0))
        ordered = self.scan(past, cond)  # (B, D, P)
        params = torch.empty_like(ordered).index_copy(1, self.order, ordered)
        return params.view(len(z), channels, -1, self.shapes.params).transpose(2, 3).reshape(len(z), -1, *sites)


class RasterModel(nn.Module):
    """An image network in raster order: `row` reads finished rows, `pixel` reads the current row from the left.

    Its forward is `pixel(shift_right(z), row(shift_down(z)))`.

    Raises:
        UserError: the data are no images, or conditional without labels.
    """

    order: Tensor

    def __init__(self, shapes: Shapes, conditional: bool = False) -> None:
        super().__init__()
        if len(shapes.data) != 3:
            raise UserError(f"this model reads images (C, H, W), the data is {'x'.join(map(str, shapes.data))}")
        self.shapes = shapes
        self.classes = _classes(shapes, conditional)
        self.register_buffer("order", site_order(shapes), persistent=False)

    @abstractmethod
    def row(self, above: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map the row above each row, `(B, C * E, h, W)`, to features of the rows `(B, F, h, W)`."""

    @abstractmethod
    def pixel(self, left: Tensor, features: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map the pixel left of each, `(B, C * E, h, w)`, and row features to parameters `(B, C * P, h, w)`."""

    def forward(self, z: Tensor, cond: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, C * P, H, W)` of every pixel, given `z` `(B, C * E, H, W)`."""
        above = F.pad(z, (0, 0, 1, 0))[:, :, :-1]
        left = F.pad(z, (1, 0))[..., :-1]
        return self.pixel(left, self.row(above, cond), cond)


def _classes(shapes: Shapes, conditional: bool) -> int:
    if conditional and not shapes.classes:
        raise UserError("model.conditional needs labels, and the data has none")
    return shapes.classes if conditional else 0
