"""Causal convolutions between resolutions: a coarse pixel (i, j) belongs to the fine pixels (2i, 2j) and on.

Odd sizes round up going down, and are cropped going up. While streaming, a coarse pixel is read when the finer image
is at an even row and column. A pixel is `(B, C)`, and None where there is none.
"""

import torch
from torch import Tensor, nn

from ar_lightning.nn.conv import CausalConv, RowConv
from ar_lightning.nn.streaming import Steps, Streaming, with_past

__all__ = ["DownConv", "DownRowConv", "UpConv", "UpRowConv"]


class DownRowConv(RowConv):
    """A `RowConv` of 2x3 that keeps every second row and column."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, height=2, width=3)
        self.conv.stride = (2, 2)

    def forward(self, x: Tensor) -> Tensor | None:  # type: ignore[override]
        """Map `(B, C, h, W)` to `(B, out, h / 2, W / 2)`; while streaming, an odd row to None."""
        odd = self.advance(x.shape[2]) % 2
        window = with_past(self.past, x, dim=2, n=self.above)
        return None if odd else self.conv(window)


class UpRowConv(Streaming):
    """A transposed convolution of 2x3: a coarse row becomes two fine ones, which see one column more on either side."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, out, (2, 3), stride=2)

    def forward(self, x: Tensor | None, like: Tensor) -> Tensor:
        """Map `(B, C, h / 2, W / 2)` to `(B, out, h, W)`, the size of `like`; None, while streaming, is an odd row."""
        height, width = like.shape[2:]
        if x is None:
            assert self.past is not None
            return self.past["below"]  # type: ignore[no-any-return]
        rows = self.conv(x)[..., 1 : width + 1]
        if self.past is not None:
            self.past["below"] = rows[:, :, 1:]
        return rows[:, :, :height]


class DownConv(CausalConv):
    """A `CausalConv` of 2x2 that keeps every second row and column."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, above=1, left=1)
        self.stride = (2, 2)

    def forward(self, x: Tensor) -> Tensor | None:  # type: ignore[override]
        """Map `(B, C, h, W)` to `(B, out, h / 2, W / 2)`; while streaming, a pixel of an odd row or column to None."""
        if self.past is None:
            return self.parallel(x)
        if not self.place.begins:
            self.past["row"].read(x, self.place)
            return None
        return super().forward(x)


class UpConv(Streaming):
    """A transposed convolution of 2x2: a coarse pixel becomes four fine ones."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, out, 2, stride=2)

    def forward(self, x: Tensor | None, like: Tensor) -> Tensor:
        """Map `(B, C, h / 2, W / 2)` to `(B, out, h, W)`, the size of `like`.

        While streaming, x is None for a pixel of an odd row or column: it is part of a coarse pixel seen before.
        """
        past = self.past
        if past is None:
            assert x is not None
            height, width = like.shape[2:]
            return self.conv(x)[:, :, :height, :width]  # type: ignore[no-any-return]
        i, j, blocks = self.place.row, self.place.column, past["blocks"]
        if isinstance(j, Tensor):
            if x is not None:
                blocks.write(j // 2, torch.addmm(past["bias"], x, past["matrix"]))
            part = (i % 2 * 2 + j % 2).view(1)
            return blocks[j // 2].unflatten(1, (4, -1)).index_select(1, part)[:, 0]  # type: ignore[no-any-return]
        if x is not None:
            blocks.write(j // 2, self.conv(x[..., None, None]).permute(0, 2, 3, 1).flatten(1))
        return blocks[j // 2].unflatten(1, (2, 2, -1))[:, i % 2, j % 2]  # type: ignore[no-any-return]

    def start(self, batch: int, width: int) -> None:
        """Make what the coarse pixels of a row become, two pixels of two rows each."""
        assert self.past is not None
        weight, bias = self.conv.weight, self.conv.bias  # (C, out, 2, 2)
        assert bias is not None
        self.past.update(
            blocks=Steps(weight.new_zeros(-(-width // 2), batch, 4 * weight.shape[1])),
            matrix=weight.permute(0, 2, 3, 1).flatten(1).contiguous(),
            bias=bias.repeat(4),
        )
