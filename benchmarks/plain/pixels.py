"""PixelRNN, PixelCNN and Gated PixelCNN: full kernels times masks, an LSTM step per row or per skewed column."""

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.density.density import Density
from ar_lightning.nn.conv import FirstConv, Pointwise
from benchmarks.plain.vectors import copied

__all__ = ["PlainDiagonalBiLSTM", "PlainGatedPixelCNN", "PlainPixelCNN", "PlainRowLSTM"]


class MaskedConv(nn.Module):
    """A convolution with a full kernel, which is multiplied with its mask in every pass.

    Args:
        part: the kernel `(out, channels, a, b)` that is not masked, from the upper left corner of the full one.
        size: height and width of the full kernel; 1 wide means a row.
        bias: `(out,)` or None.
    """

    def __init__(self, part: Tensor, size: tuple[int, int], bias: Tensor | None) -> None:
        super().__init__()
        corner = (0, size[1] - part.shape[3], 0, size[0] - part.shape[2])
        self.weight = copied(F.pad(part, corner))
        self.register_buffer("mask", F.pad(torch.ones_like(part), corner))
        self.bias = None if bias is None else copied(bias)
        self.padding = (size[0] // 2, size[1] // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def conv1x1(pointwise: Pointwise) -> nn.Conv2d:
    out, channels = pointwise.weight.shape[:2]
    conv = nn.Conv2d(channels, out, 1, bias=pointwise.bias is not None)
    conv.load_state_dict(pointwise.state_dict())
    return conv


def first_kernels(first: FirstConv) -> tuple[Tensor, Tensor]:
    """Return the upper three rows `(out, 1, 3, 7)` of the 7x7 kernel of mask A, and `(out, 1, 1, 3)` of its fourth."""
    return first.above.conv.weight, first.left.weight


class PlainPixels(nn.Module):
    """What the networks share: binary images `(B, 1, H, W)` in, nats out, and a head of 1x1 convolutions."""

    def __init__(self, density: Density) -> None:
        super().__init__()
        model: Any = density.model
        self.head = nn.Sequential(*(conv1x1(m) if isinstance(m, Pointwise) else nn.ReLU() for m in model.head))

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Map images `(B, 1, H, W)` to what the head reads."""

    def logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return -log p `(B,)` in nats of binary images `(B, 1, H, W)`."""
        values = x.to(self.head[-1].weight.dtype)
        logits = self.logits(values).to(values.dtype)
        return F.binary_cross_entropy_with_logits(logits, values, reduction="none").flatten(1).sum(1)


class PlainResidual(PlainPixels):
    """The networks of the PixelRNN paper: 7x7 of mask A, residual branches, head."""

    def __init__(self, density: Density) -> None:
        super().__init__(density)
        model: Any = density.model
        rows, row = first_kernels(model.first)
        kernel = torch.cat([rows, F.pad(row, (0, 4))], 2)  # (out, 1, 4, 7)
        self.first = MaskedConv(kernel, (7, 7), model.first.above.conv.bias)
        with torch.no_grad():
            self.first.mask[:, :, 3, 3:] = 0  # type: ignore[index]
        self.branches = nn.ModuleList(self.branch(b) for b in model.branches)

    @abstractmethod
    def branch(self, branch: Any) -> nn.Module:
        """Return the straightforward form of a residual branch."""

    def features(self, x: Tensor) -> Tensor:
        v: Tensor = self.first(x)
        for branch in self.branches:
            v = v + branch(v)
        return v


class PlainPixelCNN(PlainResidual):
    """Residual blocks of 1x1, k x k of mask B, 1x1."""

    def branch(self, branch: Any) -> nn.Module:
        k = branch.conv.weight.shape[3]
        masked = MaskedConv(branch.conv.weight, (k, k), branch.conv.bias)
        with torch.no_grad():
            masked.mask[:, :, k // 2, k // 2 + 1 :] = 0  # type: ignore[index]
        return nn.Sequential(nn.ReLU(), conv1x1(branch.down), nn.ReLU(), masked, nn.ReLU(), conv1x1(branch.up))


class PlainRowLSTM(PlainResidual):
    """Row LSTM layers that compute both their convolutions row after row."""

    def branch(self, branch: Any) -> nn.Module:
        return nn.Sequential(RowLayer(branch[0]), conv1x1(branch[1]))


class PlainDiagonalBiLSTM(PlainResidual):
    """Diagonal BiLSTM layers that skew the map and run over its columns, once for each direction."""

    def branch(self, branch: Any) -> nn.Module:
        return nn.Sequential(DiagonalLayer(branch[0]), conv1x1(branch[1]))


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    o, f, i, g = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class RowLayer(nn.Module):
    """A Row LSTM: input-to-state 1 x k of mask B, state-to-state 1 x k, both for each row."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        kernel = (1, layer.kernel)
        self.input_to_state = MaskedConv(layer.input_to_state.weight, kernel, layer.input_to_state.bias)
        self.state_to_state = MaskedConv(layer.state_to_state.weight[:, :, None], kernel, None)
        self.h0, self.c0 = copied(layer.h0), copied(layer.c0)

    def forward(self, v: Tensor) -> Tensor:
        h, c = (s[..., None, :].expand(len(v), -1, 1, v.shape[3]) for s in (self.h0, self.c0))
        rows = []
        for row in v.split(1, 2):
            h, c = lstm_cell(self.input_to_state(row) + self.state_to_state(h), c)
            rows.append(h)
        return torch.cat(rows, 2)


class DiagonalLayer(nn.Module):
    """Both directions of a Diagonal BiLSTM; the right-to-left map is shifted down a row before they are added."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.directions = nn.ModuleList(DiagonalDirection(layer, k) for k in range(2))

    def forward(self, v: Tensor) -> Tensor:
        there, back = self.directions[0](v), self.directions[1](v.flip(3)).flip(3)
        added: Tensor = there + F.pad(back, (0, 0, 1, 0))[:, :, :-1]
        return added


class DiagonalDirection(nn.Module):
    """An LSTM over the columns of the skewed map, whose state-to-state kernel reads the pixel beside and above."""

    def __init__(self, layer: Any, k: int) -> None:
        super().__init__()
        self.input_to_state = conv1x1(layer.input_to_state[k])
        self.state_to_state = copied(torch.stack([layer.above[k].T, layer.side[k].T], 2))  # (4h, h, 2)
        self.h0, self.c0 = copied(layer.h0[k, 0].T), copied(layer.c0[k, 0].T)  # (h, 1)

    def forward(self, v: Tensor) -> Tensor:
        H, W = v.shape[2:]
        gates = self.input_to_state(skewed(v))
        h0, c0 = (s.expand(len(v), -1, H) for s in (self.h0, self.c0))
        h, c, columns = h0, c0, []
        for d in range(H + W - 1):
            around = torch.cat([h0[:, :, :1], h], 2)  # the state above the first row
            h, c = lstm_cell(gates[..., d] + F.conv1d(around, self.state_to_state), c)
            row = torch.arange(H, device=v.device)
            started = row <= d  # the rows below have not begun: their state is the initial one
            h, c = torch.where(started, h, h0), torch.where(started, c, c0)
            columns.append(h)
        states = torch.stack(columns, 3)
        return torch.stack([states[:, :, r, r : r + W] for r in range(H)], 2)


def skewed(v: Tensor) -> Tensor:
    """Shift each row one column further to the right than the one above: `(B, C, H, H + W - 1)`."""
    H = v.shape[2]
    return torch.stack([F.pad(v[:, :, r], (r, H - 1 - r)) for r in range(H)], 2)


class PlainGatedPixelCNN(PlainPixels):
    """The vertical and the horizontal stack, as convolutions with masks."""

    def __init__(self, density: Density) -> None:
        super().__init__(density)
        model: Any = density.model
        rows, row = first_kernels(model.first)
        self.vertical = MaskedConv(rows, (7, 7), model.first.above.conv.bias)
        self.horizontal = MaskedConv(row, (1, 7), None)
        self.layers = nn.ModuleList(PlainGatedLayer(layer) for layer in model.layers)

    def features(self, x: Tensor) -> Tensor:
        v = self.vertical(x)
        h = v + self.horizontal(x)
        for layer in self.layers:
            v, h = layer(v, h)
        return h


class PlainGatedLayer(nn.Module):
    """A k x k convolution of the vertical stack, 1 x k of the horizontal one, and the link between them."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        k = layer.rows.conv.weight.shape[3]
        self.rows = MaskedConv(layer.rows.conv.weight, (k, k), layer.rows.conv.bias)
        self.columns = MaskedConv(layer.columns.weight, (1, k), layer.columns.bias)
        self.link, self.out = conv1x1(layer.link), conv1x1(layer.out)
        self.last = layer.last

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.rows(v)
        h = h + self.out(gate(self.columns(h) + self.link(maps)))
        return (v if self.last else gate(maps)), h


def gate(maps: Tensor) -> Tensor:
    a, b = maps.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)
