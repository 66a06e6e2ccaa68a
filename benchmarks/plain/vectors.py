"""NADE with a loop over the sites, and MADE with whole masked matrices."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.density.density import Density
from ar_lightning.nn.masked import reads

__all__ = ["PlainMADE", "PlainNADE"]


def copied(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone())


class PlainNADE(nn.Module):
    """The paper's algorithm: update the pre-activation, read the output, site by site."""

    def __init__(self, density: Density) -> None:
        super().__init__()
        model: Any = density.model
        units = model.units
        self.W, self.V, self.b, self.c = (copied(t) for t in (units.W[1:, 0], units.V[:, 0], units.b[:, 0], units.c))
        self.order = model.order

    def forward(self, x: Tensor) -> Tensor:
        """Return -log p `(B,)` in nats of binary images `(B, 1, H, W)`."""
        values = x.flatten(1)[:, self.order].to(self.W.dtype)
        a, logits = self.c.expand(len(x), -1), []
        for i in range(len(self.V)):
            if i:
                a = a + values[:, i - 1 : i] * self.W[i - 1]
            logits.append(torch.sigmoid(a) @ self.V[i] + self.b[i])
        return F.binary_cross_entropy_with_logits(torch.stack(logits, 1), values, reduction="none").sum(1)


class PlainMADE(nn.Module):
    """A multilayer perceptron whose weight matrices are multiplied with their masks in every pass."""

    def __init__(self, density: Density) -> None:
        super().__init__()
        model: Any = density.model
        degrees = model.unit_degrees()
        layers = model.units.layers
        self.weights = nn.ParameterList(copied(layer.weight) for layer in layers)
        self.biases = nn.ParameterList(copied(layer.bias) for layer in layers)
        for i, (above, below) in enumerate(zip(degrees[1:], degrees, strict=False)):
            self.register_buffer(f"mask_{i}", reads(above, below).to(self.weights[i].dtype))
        self.order = model.order

    def logits(self, values: Tensor) -> Tensor:
        """Map values `(B, D)` in their order to logits `(B, D)`."""
        h = values
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = F.linear(torch.relu(h) if i else h, weight * getattr(self, f"mask_{i}"), bias)
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Return -log p `(B,)` in nats of binary images `(B, 1, H, W)`."""
        values = x.flatten(1)[:, self.order].to(self.biases[0].dtype)
        logits = self.logits(values)
        return F.binary_cross_entropy_with_logits(logits, values, reduction="none").sum(1)
