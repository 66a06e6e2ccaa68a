"""The masked MLP of MADE: all sites at once in parallel mode, every unit once while streaming.

Each unit has a degree, and reads the units of the layer below whose degree is no higher. An input has the place of its
value in the order as its degree, an output the place before its own: so it depends on earlier values only, whatever
the degrees of the hidden units are.

Where the degrees ascend, a large product skips the half of the weights that is masked: see `kernels/staircase.py`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Activation
from ar_lightning.nn.given import GivenBias, GivenSizes
from ar_lightning.nn.kernels.staircase import Stair, Staircase, reads, staircase
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["MaskedMLP", "masked_linear", "reads", "spread_degrees"]

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


def spread_degrees(units: int, tokens: int, lowest: int = 0, generator: torch.Generator | None = None) -> Tensor:
    """Return degrees `(units,)` of a hidden layer, ascending, spread evenly over `0..tokens - 2`.

    With enough units, each degree occurs equally often, up to one, so that an output reads every earlier value through
    every layer. No unit is wasted: one below `lowest`, the lowest degree of the layer below, would read nothing; one of
    the highest degree reads every unit below. A generator varies which degrees occur once more.
    """
    different = max(tokens - 1, 1)
    whole, rest = divmod(units, different)
    degrees = torch.arange(different).repeat(whole)
    if rest:
        shift = 0.5 if generator is None else torch.rand(rest, generator=generator)
        places = torch.arange(rest) + shift  # one in each of `rest` equal parts
        chosen = (places * different / rest).long().clamp(max=different - 1)
        chosen[-1] = different - 1
        degrees = torch.cat([degrees, chosen])
    return degrees.sort().values.clamp(min=lowest)


def masked_linear(x: Tensor, weight: Tensor, degrees: Tensor, below: Tensor, stairs: list[Stair]) -> Tensor:
    """Map `(B, units below)` to `(B, units)` by a weight matrix that is masked by the degrees of its units."""
    if not stairs:
        # Masked here, not in place: gradient that reached masked weights would spoil clipping and Adam.
        return F.linear(x, weight * reads(degrees, below).to(weight.dtype))
    if torch.is_autocast_enabled(x.device.type):
        x, weight = (t.to(torch.get_autocast_dtype(x.device.type)) for t in (x, weight))
    out: Tensor = Staircase.apply(x, weight, degrees, below, stairs)
    return out


class MaskedMLP(Streaming):
    """Multilayer perceptron whose units read those of no higher degree.

    `widths` are the units of every layer, from the inputs to the outputs, which read the inputs too if `direct`. What
    is `given` with an example adds to the bias of every unit. `ascending` are the degrees of all layers, if they ascend
    and never change. Hidden units are dropped in training with the probability `dropout`.
    """

    def __init__(
        self,
        widths: list[int],
        activation: Activation = "relu",
        direct: bool = False,
        given: GivenSizes = GivenSizes(),  # noqa: B008
        ascending: list[Tensor] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation, self.dropout = ACTIVATIONS[activation], dropout
        pairs = list(zip(range(len(widths)), range(1, len(widths)), strict=False))
        self.layers: Any = nn.ModuleList(nn.Linear(widths[i], widths[o]) for i, o in pairs)
        self.direct = nn.Linear(widths[0], widths[-1], bias=False) if direct else None
        self.class_biases: Any = nn.ModuleList(GivenBias(given, o) for o in widths[1:]) if any(given) else None
        self.stairs = [staircase(ascending[o], ascending[i]) if ascending else [] for i, o in [*pairs, (0, -1)]]

    def forward(self, x: Tensor, degrees: list[Tensor], cond: Given = None) -> Tensor:
        """Map inputs `(B, inputs)` to outputs `(B, outputs)`, given the degrees of the units of every layer."""
        h, last = [x, *self.hidden(x, degrees, cond)][-1], len(self.layers) - 1
        with uncast(x):  # rounding a logit to bfloat16 costs likelihood
            dtype = self.layers[last].weight.dtype
            params = self._layer(last, h.to(dtype), degrees, cond)
            if self.direct is not None:
                direct = masked_linear(x.to(dtype), self.direct.weight, degrees[-1], degrees[0], self.stairs[-1])
                params = params + direct
        return params

    def hidden(self, x: Tensor, degrees: list[Tensor], cond: Given = None) -> list[Tensor]:
        """Return the units `(B, units)` of every hidden layer, as `forward` computes them."""
        layers, h = [], x
        for i in range(len(self.layers) - 1):
            h = F.dropout(self.activation(self._layer(i, h, degrees, cond)), self.dropout, self.training)
            layers.append(h)
        return layers

    def _layer(self, i: int, h: Tensor, degrees: list[Tensor], cond: Given) -> Tensor:
        layer = self.layers[i]
        h = masked_linear(h, layer.weight, degrees[i + 1], degrees[i], self.stairs[i]) + layer.bias
        return h if self.class_biases is None else h + self.class_biases[i](cond)

    def begin(self, degrees: list[Tensor], batch: int, cond: Given = None) -> None:
        """Prepare to stream: sort the units of every layer by their degrees, so that what a unit reads is a slice."""
        assert self.past is not None
        order = [d.sort(stable=True) for d in degrees]

        def arranged(weight: Tensor, above: int, below: int) -> Tensor:
            return weight.detach()[order[above].indices][:, order[below].indices]

        biases = []
        for i, layer in enumerate(self.layers):
            bias = layer.bias[:, None]  # (units, 1)
            if self.class_biases is not None:
                bias = bias + self.class_biases[i](cond).T  # (units, B)
            biases.append(bias.detach()[order[i + 1].indices])
        highest = int(degrees[-1].max())
        steps = torch.arange(-1, highest + 1, device=degrees[0].device)
        self.past.update(
            weights=[arranged(layer.weight, i + 1, i) for i, layer in enumerate(self.layers)],
            direct=None if self.direct is None else arranged(self.direct.weight, -1, 0),
            biases=biases,
            ends=[[0, *torch.searchsorted(o.values, steps, right=True).tolist()] for o in order],
            values=[biases[0].new_empty(len(d), batch) for d in degrees[:-1]],
        )

    def read(self, x: Tensor) -> Tensor:
        """Read the inputs of the next degree, `(B, E)`, while streaming, and return the outputs that it gives `(B, P)`.

        Every hidden unit is evaluated once, when the last value that it reads is known. The first call returns the
        outputs that depend on nothing.
        """
        assert self.past is not None
        n = self.advance(1)  # the units of degree n - 1 can be evaluated now
        ends, values, weights = self.past["ends"], self.past["values"], self.past["weights"]
        if n:
            values[0][ends[0][n] : ends[0][n + 1]] = x.T
        for i, (weight, bias) in enumerate(zip(weights, self.past["biases"], strict=True)):
            new, known = slice(ends[i + 1][n], ends[i + 1][n + 1]), slice(ends[i][n + 1])
            h = torch.addmm(bias[new], weight[new, known], values[i][known])  # (units, B)
            if i < len(weights) - 1:
                values[i + 1][new] = self.activation(h)
        if self.past["direct"] is not None:
            h = h.addmm(self.past["direct"][new, : ends[0][n + 1]], values[0][: ends[0][n + 1]])
        return h.T

    def keep(self, rows: Tensor) -> None:
        if self.past:  # examples are last
            biases = self.past["biases"] if self.class_biases is None else [b[:, rows] for b in self.past["biases"]]
            self.past.update(biases=biases, values=[v[:, rows] for v in self.past["values"]])
