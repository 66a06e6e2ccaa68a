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
from ar_lightning.nn.kernels.dropout import dropout
from ar_lightning.nn.kernels.staircase import Staircase, edges, product, reads, staircase
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["MaskedLinear", "MaskedMLP", "reads", "spread_degrees"]

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


class MaskedLinear(nn.Linear):
    """A linear layer whose weights are masked by the degrees of its units.

    `ascending` are these and those of the units below, if they ascend and never change.
    """

    def __init__(
        self, below: int, units: int, bias: bool = True, ascending: tuple[Tensor, Tensor] | None = None
    ) -> None:
        super().__init__(below, units, bias)
        self.stairs = staircase(*ascending) if ascending else []
        for i, mask in enumerate(edges(*ascending, self.stairs) if ascending else []):
            self.register_buffer(f"mask_{i}", mask, persistent=False)

    def forward(self, x: Tensor, degrees: Tensor | None = None, below: Tensor | None = None) -> Tensor:
        """Map `(B, units below)` to `(B, units)`, given the degrees of both where they are not known to ascend."""
        masks = [getattr(self, f"mask_{i}") for i in range(len(self.stairs))]
        if not masks:
            assert degrees is not None and below is not None
            mask = self.weight.detach().new_empty(self.weight.shape)  # no booleans, which multiply slowly
            masks = [torch.le(below.float(), degrees[:, None].float(), out=mask)]
        if len(masks) == 1:
            # Masked here, not in place: gradient that reached masked weights would spoil clipping and Adam.
            return F.linear(x, self.weight * masks[0], self.bias)
        tensors = [x, self.weight, self.bias, *masks]
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            tensors = [t if t is None else t.to(dtype) for t in tensors]
        x, weight, bias, *masks = tensors
        apply = Staircase.apply if torch.is_grad_enabled() else product
        out: Tensor = apply(x, weight, bias, self.stairs, *masks)
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

        def layer(below: int, above: int, bias: bool = True) -> MaskedLinear:
            known = (ascending[above], ascending[below]) if ascending else None
            return MaskedLinear(widths[below], widths[above], bias, known)

        self.layers: Any = nn.ModuleList(layer(i, i + 1) for i in range(len(widths) - 1))
        self.direct = layer(0, -1, bias=False) if direct else None
        self.class_biases: Any = nn.ModuleList(GivenBias(given, o) for o in widths[1:]) if any(given) else None

    def forward(self, x: Tensor, degrees: list[Tensor] | None = None, cond: Given = None) -> Tensor:
        """Map inputs `(B, inputs)` to outputs `(B, outputs)`.

        Where the degrees do not ascend, those of the units of every layer are given.
        """
        h, last = [x, *self.hidden(x, degrees, cond)][-1], len(self.layers) - 1
        with uncast(x):  # rounding a logit to bfloat16 costs likelihood
            dtype = self.layers[last].weight.dtype
            params = self._layer(last, h.to(dtype), degrees, cond)
            if self.direct is not None:
                params = params + self.direct(x.to(dtype), *((degrees[-1], degrees[0]) if degrees else ()))
        return params

    def hidden(self, x: Tensor, degrees: list[Tensor] | None = None, cond: Given = None) -> list[Tensor]:
        """Return the units `(B, units)` of every hidden layer, as `forward` computes them."""
        layers, h = [], x
        for i in range(len(self.layers) - 1):
            h = dropout(self.activation(self._layer(i, h, degrees, cond)), self.dropout, self.training)
            layers.append(h)
        return layers

    def _layer(self, i: int, h: Tensor, degrees: list[Tensor] | None, cond: Given) -> Tensor:
        h = self.layers[i](h, *((degrees[i + 1], degrees[i]) if degrees else ()))
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
