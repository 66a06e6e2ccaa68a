"""Causal convolutions: kernels cropped to what they may see; only the last row of a kernel needs a mask.

Where colours are read one after another, channels come in as many groups, those of the first colour first. A group sees
everything at finished pixels, and of its own pixel itself and the groups before (mask B of the PixelRNN paper). While
streaming, each call reads one group of one pixel, `(B, n)`.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.spec import Shapes
from ar_lightning.nn.streaming import Row, Steps, Streaming, with_past

__all__ = ["CausalConv", "FirstConv", "Pointwise", "RowConv", "batch_last", "odd", "output_layers", "round_up"]


class CausalConv(nn.Conv2d, Streaming):
    """A convolution that sees `above` rows over a pixel, and in its own row the pixels up to and including itself.

    It sees `left` columns left of the pixel in all rows, and `right` columns right of it in the rows above.
    """

    mask: Tensor | None

    def __init__(
        self,
        channels: int,
        out: int,
        above: int = 0,
        left: int = 0,
        right: int = 0,
        bias: bool = True,
        colours: int = 1,
    ) -> None:
        super().__init__(channels, out, (above + 1, left + 1 + right), bias=bias)
        self.above, self.left, self.right, self.colours = above, left, right, colours
        self.pointwise = self.colours == 1 and self.kernel_size == (1, 1)
        mask = torch.ones_like(self.weight.data)
        block = torch.ones(out // colours, channels // colours)
        mask[:, :, above, left] = torch.kron(torch.ones(colours, colours).tril(), block)
        mask[:, :, above, left + 1 :] = 0
        self.register_buffer("mask", None if mask.all() else mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to `(B, out, h, w)`; while streaming, the next group of a pixel, `(B, n)`."""
        return self.parallel(x) if x.ndim == 4 else self.step(x)

    def step(self, x: Tensor) -> Tensor:
        """Read the next group of a pixel, `(B, n)`."""
        assert self.past is not None
        row, above, matrices = self.past["row"], self.past["above"], self.past["matrices"]
        if row is None:
            return torch.addmm(above[0], x, matrices[0])
        place = self.place
        addend = above[place.step] if self.above else above[place.group]
        return torch.addmm(addend, row.read(x, place), matrices[place.group])

    def parallel(self, x: Tensor) -> Tensor:
        """Map a whole image, or any part of it that the kernel does not reach beyond, without reading the past."""
        before = (self.left, self.right, self.above, 0)
        if self.above and self.left == self.right and self.stride == (1, 1):
            # Padded on all sides by the convolution itself, which keeps no padded copy for the backward pass.
            padding = (self.above, self.left)
            return F.conv2d(x, self.masked_weight(), self.bias, padding=padding)[:, :, : x.shape[2]]
        return F.conv2d(F.pad(x, before) if any(before) else x, self.masked_weight(), self.bias, self.stride)

    def masked_weight(self) -> Tensor:
        """Return the kernel `(out, channels, above + 1, left + 1 + right)` with zeros where it may not see."""
        return self.weight if self.mask is None else self.weight * self.mask

    def start(self, batch: int, width: int) -> None:
        """Make the rows above and the current one, and what the former add to each step of it: their bias if none."""
        assert self.past is not None
        channels, new = self.weight.shape[1], self.weight.new_zeros
        bias = new(len(self.weight)) if self.bias is None else self.bias
        steps = (width * self.colours, batch, len(bias) // self.colours)
        self.past.update(
            matrices=self._matrices(),
            row=None if self.pointwise else Row(new(batch, self.left + width, channels), self.left, self.colours),
            rows=new(batch, channels, self.above, width),
            above=Steps(new(steps)) if self.above else bias.chunk(self.colours),
        )

    def start_row(self) -> None:
        """Convolve the finished rows at once into what the pixels of the next row read of them."""
        if not self.past or not self.above:
            return
        if self.place.row:  # one is finished
            finished = self.past["row"].row()[:, :, None]
            self.past["rows"].copy_(torch.cat([self.past["rows"][:, :, 1:], finished], 2))
        rows = F.pad(self.past["rows"], (self.left, self.right))
        added = F.conv2d(rows, self.weight[:, :, : self.above], self.bias)
        self.past["above"].fill(added[:, :, 0], self.colours)

    def _matrices(self) -> list[Tensor]:
        """Return, for each group of outputs, the matrix that maps the pixels before and the groups so far to it."""
        weight = self.masked_weight()[:, :, self.above, : self.left + 1].permute(2, 1, 0).flatten(0, 1)
        out, channels = self.weight.shape[0] // self.colours, self.weight.shape[1]
        rows = [self.left * channels + (k + 1) * channels // self.colours for k in range(self.colours)]
        return [weight[:n, k * out : (k + 1) * out].contiguous() for k, n in enumerate(rows)]


class Pointwise(CausalConv):
    """A 1x1 convolution; of maps that `batch_last` laid out, a matrix product that returns such maps."""

    def __init__(self, channels: int, out: int, bias: bool = True, colours: int = 1) -> None:
        super().__init__(channels, out, bias=bias, colours=colours)

    def parallel(self, x: Tensor) -> Tensor:
        maps = x.permute(1, 2, 3, 0)
        if len(x) == 1 or not maps.is_contiguous():
            return super().parallel(x)
        weight, flat = self.masked_weight()[:, :, 0, 0], maps.flatten(1)
        out = weight @ flat if self.bias is None else torch.addmm(self.bias[:, None], weight, flat)
        return out.unflatten(1, maps.shape[1:]).permute(3, 0, 1, 2)


def batch_last(maps: Tensor) -> Tensor:
    """Lay maps `(B, C, H, W)` out as `(C, H, W, B)` in memory, so that LSTMs and 1x1 layers need not copy them."""
    return maps.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


class RowConv(Streaming):
    """A convolution that sees the newest `height` rows of its input, and `width` columns around.

    Fed the image shifted down by a row, it sees finished rows only.
    """

    def __init__(self, channels: int, out: int, height: int, width: int) -> None:
        super().__init__()
        self.above = height - 1
        self.conv = nn.Conv2d(channels, out, (height, width), padding=(0, width // 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, h, W)` to `(B, out, h, W)`."""
        return self.conv(with_past(self.past, x, dim=2, n=self.above))


class FirstConv(nn.Module):
    """The first layer of the PixelRNN family, a 7x7 convolution of mask A: it sees all around a pixel but the pixel.

    Its parts read the finished rows, the pixels to the left and the colours before; each is fed its input shifted.
    """

    def __init__(self, shapes: Shapes, out: int) -> None:
        super().__init__()
        inputs, colours = shapes.data[0] * shapes.inputs, shapes.groups
        self.above = RowConv(inputs, out, height=3, width=7)
        self.left = CausalConv(inputs, out, left=2, bias=False)
        self.earlier = Pointwise(inputs, out, bias=False, colours=colours) if colours > 1 else None

    def colour(self, earlier: Tensor | None, features: Tensor) -> Tensor:
        """Add to the features of each group what it sees of the colours before, `(B, g * E, h, w)`."""
        return features if self.earlier is None else features + self.earlier(earlier)


def output_layers(shapes: Shapes, stream: int, head: int) -> nn.Sequential:
    """Make two ReLU and 1x1 layers of `head` channels, then ReLU and the 1x1 output layer."""
    colours = shapes.groups
    head = round_up(head, colours)
    layers = []
    for a, b in pairwise([stream, head, head, shapes.outputs]):
        layers += [nn.ReLU(), Pointwise(a, b, colours=colours)]
    return nn.Sequential(*layers)


def round_up(channels: int, colours: int) -> int:
    """Round a number of channels up to a multiple of the colours."""
    return -(-channels // colours) * colours


def odd(kernel: int) -> int:
    """Return the width of a kernel, or raise `ValueError` if it is even: a kernel has a pixel in its middle."""
    if kernel % 2 == 0:
        raise ValueError(f"kernel={kernel} has no middle: take {kernel - 1} or {kernel + 1}")
    return kernel
