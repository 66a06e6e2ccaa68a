"""WaveNet as it is usually written: channels before time, a convolution for each map of each layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.density.density import Density
from benchmarks.plain.vectors import copied

__all__ = ["PlainWaveNet"]


class PlainWaveNet(nn.Module):
    """The paper's equations with `torch.nn.Conv1d`."""

    def __init__(self, density: Density) -> None:
        super().__init__()
        model: Any = density.model
        stack, table = model.dilated, model.read.table
        self.dilations, self.kernel = stack.dilations, stack.kernel
        channels, depth = stack.channels, len(stack.dilations)
        self.embedding = nn.Embedding.from_pretrained(table.weight.detach().clone(), freeze=False)
        self.filters, self.gates, self.residual, self.skip = (nn.ModuleList() for _ in range(4))
        skips = stack.skip.weight.unflatten(1, (depth, channels)).unbind(1)  # (skip, C) each
        for i, d in enumerate(self.dilations):
            taps = stack.weight[i].unflatten(0, (self.kernel, channels)).permute(2, 1, 0)  # (2C, C, k)
            for modules, weight, bias in zip(
                (self.filters, self.gates), taps.chunk(2), stack.bias[i].chunk(2), strict=True
            ):
                modules.append(conv1d(weight, bias, dilation=d))
            self.skip.append(conv1d(skips[i][..., None], None if i else stack.skip.bias))
            if i + 1 < depth:
                self.residual.append(conv1d(stack.residual[i].T[..., None], None))
        layers = [conv1d(layer.weight[..., None], layer.bias) for layer in (model.hidden, model.out)]
        self.head = nn.Sequential(nn.ReLU(), layers[0], nn.ReLU(), layers[1])

    def logits(self, past: Tensor) -> Tensor:
        """Map the levels before each sample, `(B, T)`, one higher so that 0 is before the start, to `(B, K, T)`."""
        x = self.embedding(past).transpose(1, 2)
        skips: Any = 0
        for i, d in enumerate(self.dilations):
            padded = F.pad(x, ((self.kernel - 1) * d, 0))
            z = torch.tanh(self.filters[i](padded)) * torch.sigmoid(self.gates[i](padded))
            skips = skips + self.skip[i](z)
            if i < len(self.residual):
                x = x + self.residual[i](z)
        logits: Tensor = self.head(skips)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return -log p `(B,)` in nats of levels `(B, 1, T)`."""
        past = F.pad(x[:, 0, :-1] + 1, (1, 0))
        return F.cross_entropy(self.logits(past), x[:, 0], reduction="none").sum(1)


def conv1d(weight: Tensor, bias: Tensor | None, dilation: int = 1) -> nn.Conv1d:
    """Return a convolution with copies of these weights."""
    out, channels, kernel = weight.shape
    conv = nn.Conv1d(channels, out, kernel, dilation=dilation, bias=bias is not None)
    conv.weight = copied(weight)
    if bias is not None:
        conv.bias = copied(bias)
    return conv
