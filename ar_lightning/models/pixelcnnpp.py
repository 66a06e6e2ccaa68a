r"""PixelCNN++: two streams of gated residual convolutions at several resolutions, with shortcuts from down to up.

    x + a sigmoid(b),    [a, b] = conv(dropout(f(conv(f(x)) + nin(f(skip))))),    f(x) = elu([x, -x])

Salimans, Karpathy, Chen & Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and
Other Modifications", ICLR 2017. The stream u reads the rows above (2x3 kernels), the stream ul what is above and to the
left (2x2 kernels) and u; neither has a blind spot. An input channel of ones marks the border, and all convolutions have
weight norm, initialised from data. RGB images need a joint likelihood of the colours.

Deviations: u and a shortcut enter ul through a 1x1 convolution each, where the paper's code joins them for one; sizes
that 2^downsamplings does not divide are rounded up and cropped. The paper has 192 filters (its code 160), 5 resnets and
dropout 0.5. Published: 2.92 bits/dim on CIFAR-10, not reproduced here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Dropout, NonNegativeInt, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.conv import CausalConv, Pointwise, RowConv
from ar_lightning.nn.given import GivenSizes, given_bias
from ar_lightning.nn.kernels.dropout import dropout
from ar_lightning.nn.kernels.elu import concat_elu, elu
from ar_lightning.nn.resample import DownConv, DownRowConv, UpConv, UpRowConv
from ar_lightning.nn.streaming import Streaming, as_steps
from ar_lightning.nn.weightnorm import initialise_from_data, normalise_weights

__all__ = ["PixelCNNpp"]


class PixelCNNpp(RasterModel):
    """PixelCNN++: gated residual convolutions at several resolutions, with shortcuts and dropout.

    References:
        Salimans, Karpathy, Chen & Kingma, PixelCNN++ (2017).

    Args:
        filters: channels of both streams (the paper: 192).
        resnets: gated resnets per resolution, going down; one more going up (the paper: 5).
        downsamplings: how many times the resolution is halved (the paper: 2).
        dropout: probability of dropping an activation in each resnet while training (the paper: 0.5).
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: the data has colours, and the likelihood does not model them jointly.
    """

    encoding = "scaled"
    reads_context = True
    dims = 2
    joint_colours = True
    initialises = True
    exports = True
    hidden_layers = ("u_above", "ul_above", "ul_left", "level.*")

    def __init__(
        self,
        shapes: Shapes,
        *,
        filters: PositiveInt = 32,
        resnets: PositiveInt = 2,
        downsamplings: NonNegativeInt = 2,
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, conditional)
        if shapes.groups > 1:
            raise ValueError("PixelCNN++ needs a joint likelihood of colours: take discretized_logistic_mixture")
        inputs = shapes.data[0] * shapes.inputs + 1
        self.above_border, self.left_border = Border(dim=2), Border(dim=3)
        self.u_above = RowConv(inputs, filters, height=2, width=3)
        self.ul_above = RowConv(inputs, filters, height=1, width=3)
        self.ul_left = CausalConv(inputs, filters, above=1)
        level = None
        for _ in range(downsamplings + 1):
            level = Level(filters, resnets, level, dropout, self.given_sizes)
        self.level: Any = level
        scale = 1
        while level and (level := level.coarser):
            scale *= 2
            for m in level.modules():  # the coarser levels again, twice as coarse
                if isinstance(m, Streaming):
                    m.scale = scale
        self.head = Pointwise(filters, shapes.outputs)
        normalise_weights(self)

    @property
    def scales(self) -> tuple[int, ...]:
        return 1, *(2**level for level in range(self.level.depth))

    def row(self, above: Tensor, cond: Given = None) -> list[Tensor | None]:
        for net in self.modules():
            if isinstance(net, GatedResnet):
                net.remember(cond)
        above = self.above_border(above)
        _, features = self.level.row(self.u_above(above), cond)
        return [self.ul_above(above), *features]

    def pixel(self, left: Tensor, features: list[Tensor | None], cond: Given = None) -> Tensor:
        above, *features = features
        ul = above + self.ul_left(self.left_border(left))
        params: Tensor = self.head(elu(self.level.pixel(ul, features, cond)))
        return params

    def columns(self, features: list[Tensor]) -> list[list[Tensor | None]]:
        """Return the features of each pixel, with None at the resolutions that have none there."""
        width = features[0].shape[3]
        resolutions = [_columns(f, scale, width) for f, scale in zip(features, self.scales, strict=True)]
        return [list(column) for column in zip(*resolutions, strict=True)]

    def initialise(self, z: Tensor, cond: Given = None) -> None:
        """Set scales and biases so that on the batch `z` (B, C * E, H, W) each pre-activation has mean 0, variance 1.

        As in the paper's code, what a resnet adds to its input starts at a tenth of that standard deviation.
        """
        resnets = [m for m in self.modules() if isinstance(m, GatedResnet)]
        scales = {conv: 0.1 for resnet in resnets for conv in resnet.gates.modules()}
        # `forward`, not the call: the call may be compiled, without the hooks.
        initialise_from_data(self, lambda: self.forward(z, cond), scales)


class Activated(NamedTuple):
    """A feature map, and f of it, which several layers read."""

    x: Tensor
    f: Tensor


def activated(x: Tensor) -> Activated:
    return Activated(x, concat_elu(x))


class Level(nn.Module):
    """Both streams at one resolution: resnets down, what the `coarser` levels make of it, resnets up with shortcuts.

    One resnet more goes up than down, except at the coarsest level, whose last one down has no shortcut.
    """

    def __init__(self, filters: int, resnets: int, coarser: "Level | None", dropout: float, given: GivenSizes) -> None:
        super().__init__()

        def stack(conv: Conv, n: int, shortcut: bool) -> nn.ModuleList:
            return nn.ModuleList(GatedResnet(conv, filters, shortcut, dropout, given) for _ in range(n))

        up = resnets + (coarser is not None)
        self.u_down, self.u_up = stack(u_conv, resnets, False), stack(u_conv, up, True)
        self.ul_down, self.ul_up = stack(ul_conv, resnets, False), stack(ul_conv, up, True)
        self.ul_reads = nn.ModuleList(Pointwise(2 * filters, filters) for _ in range(resnets + up))
        self.coarser: Any = coarser
        self.depth: int = 1 + (coarser.depth if coarser else 0)
        if coarser:
            self.u_shrink, self.u_grow = DownRowConv(filters, filters), UpRowConv(filters, filters)
            self.ul_shrink, self.ul_grow = DownConv(filters, filters), UpConv(filters, filters)

    def row(self, u: Tensor, cond: Given) -> tuple[Tensor, list[Tensor | None]]:
        """Map u `(B, filters, h, W)` to u, and to what the resnets of ul read of it, a map per resolution.

        While streaming, a resolution that has no row here has None.
        """
        down = [activated(u)]
        for net in self.u_down:
            down.append(activated(net(*down[-1], cond)))
        up, reads = down[-1:], []
        if self.coarser:
            coarse = self.u_shrink(down[-1].x)
            coarse, reads = (None, [None] * self.coarser.depth) if coarse is None else self.coarser.row(coarse, cond)
            up = [activated(self.u_grow(coarse, like=u))]
        for net, shortcut in zip(self.u_up, reversed(down[: len(self.u_up)]), strict=True):
            up.append(activated(net(*up[-1], cond, shortcut=shortcut.f)))
        read = [conv(v.f) for conv, v in zip(self.ul_reads, [*down[1:], *up[1:]], strict=True)]
        return up[-1].x, [torch.cat(read, 1), *reads]

    def pixel(self, ul: Tensor, reads: list[Tensor | None], cond: Given) -> Tensor:
        """Map ul `(B, filters, h, w)` and what it reads of u, a map per resolution, to ul."""
        assert reads[0] is not None
        here = iter(reads[0].chunk(len(self.ul_reads), 1))
        down = [activated(ul)]
        for net in self.ul_down:
            down.append(activated(net(*down[-1], cond, next(here))))
        up = down[-1]
        if self.coarser:
            coarse = self.ul_shrink(up.x)
            coarse = None if coarse is None else self.coarser.pixel(coarse, reads[1:], cond)
            up = activated(self.ul_grow(coarse, like=ul))
        for net, shortcut in zip(self.ul_up, reversed(down[: len(self.ul_up)]), strict=True):
            up = activated(net(*up, cond, next(here), shortcut.f))
        return up.x


class GatedResnet(Streaming):
    """A gated residual block, see the equation above; `conv` makes a convolution of so many channels in and out."""

    def __init__(self, conv: "Conv", filters: int, shortcut: bool, dropout: float, given: GivenSizes) -> None:
        super().__init__()
        self.conv, self.gates = conv(2 * filters, filters), conv(2 * filters, 2 * filters)
        self.nin: Any = Pointwise(2 * filters, filters) if shortcut else None
        self.dropout = dropout
        self.class_bias = given_bias(given, 2 * filters)
        if self.class_bias is not None:
            self.class_bias.initialise(0.05)

    def forward(
        self, x: Tensor, f: Tensor, cond: Given, read: Tensor | None = None, shortcut: Tensor | None = None
    ) -> Tensor:
        """Map `(B, filters, h, w)`, and f of it, to the same shape.

        What is `read`, and the nin of f of a `shortcut`, are added before the gates.
        """
        c = self.conv(f)
        if read is not None:
            c = c + read
        if shortcut is not None:
            c = c + self.nin(shortcut)
        gates = self.gates(dropout(concat_elu(c), self.dropout, self.training))
        if self.class_bias is not None:
            bias = self.past["bias"] if self.past else self.class_bias(cond)
            gates = gates + (bias if gates.ndim == 2 else bias[..., None, None])
        a, b = gates.chunk(2, 1)
        return torch.addcmul(x, a, torch.sigmoid(b))

    def remember(self, cond: Given) -> None:
        """While streaming, compute what is given with an example once, for all pixels."""
        if self.past is not None and self.class_bias is not None and not self.past:
            self.past["bias"] = self.class_bias(cond)


class Border(Streaming):
    """Append a channel of ones, 0 in the first row (`dim` 2) or column (3): a shifted image has its border there."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, h, w)` to `(B, C + 1, h, w)`; of one pixel while streaming, `(B, C)`."""
        ones = torch.ones_like(x[:, :1])
        if x.ndim == 2:  # one pixel
            ones = ones * (self.place.column > 0)
        elif self.advance(x.shape[self.dim]) == 0:
            ones.narrow(self.dim, 0, 1).zero_()
        return torch.cat([x, ones], 1)


Conv = Callable[[int, int], nn.Module]


u_conv: Conv = partial(RowConv, height=2, width=3)
ul_conv: Conv = partial(CausalConv, above=1, left=1)


def _columns(features: Tensor | None, step: int, width: int) -> list[Tensor | None]:
    """Return the features of each pixel of a row that has one in `step` pixels."""
    columns: list[Tensor | None] = [None] * width
    if features is not None:
        columns[::step] = as_steps(features[:, :, 0], 1)
    return columns
