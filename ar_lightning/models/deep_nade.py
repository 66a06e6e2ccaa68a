r"""Deep, orderless NADE: one deep network for every order in which the values can be read.

    h^1 = f(W (x * m) + U m + c),    h^l = f(W^l h^{l-1} + b^l),    p(x_i | x_m) = likelihood(b_i + V_i h^L)

for every value i that the mask m of known values leaves out. Uria, Murray & Larochelle, "A Deep and Tractable Density
Estimator", ICML 2014. It is trained on random orders and random places d to cut them: the first d - 1 values are known,
and all others are predicted from them in one pass,

    J = D / (D - d + 1) * sum_{i >= d} -log p(x_{o_i} | x_{o_<d}),

whose mean over orders o and places d is the mean over orders of the negative log-likelihood. Each order is a density of
its own; `ensemble` of them are averaged (EoNADE). One order takes D passes through the deep layers, but the first one
is a running sum, as in NADE. Since every mask has been trained, any part of an example can be completed from any
other: see `OrderlessDensity`.

Deviations: any likelihood (the paper's is Bernoulli); optional class-dependent bias of the first layer. Published:
85.10 nats on fixed binarized MNIST with two hidden layers and 128 orders, 85.96 with 16; not reproduced here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Activation, NonNegativeInt, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.orders import token_order
from ar_lightning.nn.given import given_bias
from ar_lightning.nn.masked import ACTIVATIONS
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["DeepNADE"]

BLOCK = 16  # sites computed at a time: all of them would take B * D * H numbers a layer


class DeepNADE(SequenceModel):
    """Deep NADE: one network for all orders, trained on random ones.

    References:
        Uria, Murray & Larochelle, A Deep and Tractable Density Estimator (2014).

    Args:
        hidden: units of each hidden layer.
        layers: hidden layers L.
        activation: activation f of the hidden units.
        ensemble: random orders whose densities are averaged.
        order_seed: seed of the orders.
        input_masks: the network reads which values are known, too.
        conditional: condition on the data's labels and vectors.
    """

    encoding = "scaled"
    reads_context = True
    orderless = True
    exports = True
    hidden_layers = ("layers.*", "units")

    def __init__(
        self,
        shapes: Shapes,
        *,
        hidden: PositiveInt = 500,
        layers: PositiveInt = 2,
        activation: Activation = "relu",
        ensemble: PositiveInt = 1,
        order_seed: NonNegativeInt = 0,
        input_masks: bool = True,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, "random", order_seed, conditional, orders=ensemble)
        self.members = ensemble
        tokens, inputs = shapes.tokens, shapes.token_inputs
        self.activation = ACTIVATIONS[activation]
        self.W = nn.Parameter(torch.empty(tokens, inputs, hidden))
        self.U = nn.Parameter(torch.empty(tokens, hidden)) if input_masks else None
        self.c = nn.Parameter(torch.zeros(hidden))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        self.units = nn.Identity()  # what the last hidden layer gives, under a name
        self.V = nn.Parameter(torch.empty(tokens, hidden, shapes.params))
        self.b = nn.Parameter(torch.zeros(tokens, shapes.params))
        self.class_bias = given_bias(self.given_sizes, hidden)
        self.memory = Streaming()  # the pre-activations of the first layer, while streaming
        for weight, fan_in in ((self.W, tokens), (self.U, tokens), (self.V, hidden)):
            if weight is not None:
                nn.init.normal_(weight, std=fan_in**-0.5)

    def forward(self, z: Tensor, cond: Given = None, known: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, groups * P, *sites)` of every site, given `z` `(B, C * E, *sites)`.

        They follow the chain rule in this member's order. Given booleans `known` `(B, tokens)`, they are those of every
        unknown token given all known ones, and mean nothing where a token is known.
        """
        if known is None:
            return super().forward(z, cond)
        m = known.to(z.dtype)
        x = self.tokens(z) * m[..., None]
        with uncast(z):
            a = self._start(cond) + x.flatten(1) @ self.W.flatten(0, 1)
            a = a if self.U is None else a + m @ self.U
        h = self._hidden(a)
        with uncast(z):  # rounding a logit to bfloat16 costs likelihood
            params = torch.einsum("bh,thp->btp", h.to(self.V.dtype), self.V) + self.b
        return self.at_sites(params)

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        return self.scan_in(past, F.pad(token_order(self.order, self.shapes), (1, 0)), cond)

    def scan_in(self, past: Tensor, path: Tensor, cond: Given = None) -> Tensor:
        memory, n = self.memory, past.shape[1]
        start = memory.advance(n)
        path = path[..., start : start + n + 1]
        a = memory.past.get("a") if memory.past else None
        outs = []
        for i in range(0, past.shape[1], BLOCK):
            tokens = past[:, i : i + BLOCK]
            came, here = (path[..., j : j + tokens.shape[1]] for j in (i, i + 1))
            with uncast(past):  # a sum over hundreds of sites
                step = at(self.W, came, tokens.to(self.W.dtype))
                step = step if self.U is None else step + self.U[came]  # (B, k, H)
                first = self._start(cond).expand(len(past), -1) if a is None else a + step[:, 0]
                pre = torch.cat([first[:, None], step[:, 1:]], 1).cumsum(1)
            a = pre[:, -1]
            h = self._hidden(pre)
            with uncast(past):  # rounding a logit to bfloat16 costs likelihood
                outs.append(at(self.V, here, h.to(self.V.dtype)) + self.b[here])
        if memory.past is not None:
            memory.past["a"] = memory.past["a"].copy_(a) if memory.compiling else a
        return torch.cat(outs, 1)

    def _start(self, cond: Given) -> Tensor:
        """Return the pre-activations `(B, H)` or `(H,)` of the first layer before anything is read."""
        return self.c if self.class_bias is None else self.c + self.class_bias(cond)

    def _hidden(self, a: Tensor) -> Tensor:
        """Map pre-activations `(..., H)` of the first layer to the last hidden layer."""
        h = self.activation(a)
        for layer in self.layers:
            h = self.activation(layer(h))
        last: Tensor = self.units(h)
        return last


def at(weight: Tensor, tokens: Tensor, x: Tensor) -> Tensor:
    """Map `(B, n, I)` to `(B, n, O)` by the matrices of `tokens`, `(n,)` or `(B, n)`, in `weight` `(D, I, O)`."""
    w = weight[tokens]
    if x.shape[2] == 1:
        return x * w.squeeze(-2)  # faster than a product of matrices
    mapped: Tensor = torch.einsum("bni,nio->bno" if tokens.ndim == 1 else "bni,bnio->bno", x, w)
    return mapped
