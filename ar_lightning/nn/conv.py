"""Causal convolutions: kernels cropped to what they may see, never masked."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.nn.streaming import Streaming, with_past

__all__ = ["ColumnConv", "Pointwise", "RowConv"]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution, computed as one matrix product without reordering the image in memory."""

    def __init__(self, channels: int, out: int, bias: bool = True) -> None:
        super().__init__(channels, out, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to `(B, out, H, W)`."""
        y = torch.matmul(self.weight.flatten(1), x.flatten(2))
        if self.bias is not None:
            y = y + self.bias[:, None]
        return y.unflatten(2, x.shape[2:])


class RowConv(Streaming):
    """A convolution that sees the newest `height` rows it was given, the last one included, and `width` columns around.

    Feed it the image shifted down by a row and it sees finished rows only.
    """

    def __init__(self, channels: int, out: int, height: int, width: int) -> None:
        super().__init__()
        self.above = height - 1
        self.conv = nn.Conv2d(channels, out, (height, width), padding=(0, width // 2))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, h, W)` to `(B, out, h, W)`."""
        return self.conv(with_past(self.past, x, dim=2, n=self.above))


class ColumnConv(Streaming):
    """A convolution along each row that sees the newest `width` pixels it was given, the last one included.

    Feed it the image shifted right by a pixel and it sees pixels to the left only.
    """

    def __init__(self, channels: int, out: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.left = width - 1
        self.conv = nn.Conv2d(channels, out, (1, width), bias=bias)

    def start_row(self, batch: int, width: int) -> None:
        if self.past is not None:
            self.past.clear()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, h, w)` to `(B, out, h, w)`."""
        window = with_past(self.past, x, dim=3, n=self.left)
        if x.shape[2:] == (1, 1):  # one new pixel: the convolution is a matrix product
            return F.linear(window.flatten(1), self.conv.weight.flatten(1), self.conv.bias)[..., None, None]
        return self.conv(window)
