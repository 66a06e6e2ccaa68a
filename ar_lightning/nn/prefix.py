"""The hidden layer of NADE: units that have read the values before each site, and the outputs they give there.

a_i = c + sum_{j<i} W_j z_j,    h_i = f(a_i),    params_i = b_i + V_i h_i
"""

import torch
from torch import Tensor, nn

from ar_lightning.core.fields import Activation
from ar_lightning.nn.kernels.nade import Prefix, prefix
from ar_lightning.nn.kernels.nade_compiled import CompiledPrefix
from ar_lightning.nn.streaming import Streaming

__all__ = ["PrefixHidden"]


class PrefixHidden(Streaming):
    """NADE's hidden units and outputs.

    Args:
        dims: number of sites D.
        inputs: encoded inputs per site E.
        hidden: hidden units H.
        params: outputs per site P.
        activation: f.
        block: sites computed at a time.
    """

    def __init__(
        self, dims: int, inputs: int, hidden: int, params: int, activation: Activation = "sigmoid", block: int = 16
    ) -> None:
        super().__init__()
        self.activation, self.block = activation, block
        self.W = nn.Parameter(torch.empty(dims, inputs, hidden))  # W[i] reads the value before site i; W[0] reads zeros
        self.V = nn.Parameter(torch.empty(dims, params, hidden))
        self.b = nn.Parameter(torch.zeros(dims, params))
        self.c = nn.Parameter(torch.zeros(hidden))
        nn.init.normal_(self.W, std=(dims * inputs) ** -0.5)
        nn.init.normal_(self.V, std=hidden**-0.5)
        self.compiled = False

    def compile_kernels(self) -> bool:
        """Compile the kernels at their first use, and return whether there are any: for one input and one output."""
        self.compiled = self.W.shape[1] == self.V.shape[1] == 1
        return self.compiled

    def forward(self, past: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map the values before each of n sites `(B, n, E)` to the outputs `(B, n, P)`.

        Args:
            past: encoded values; while streaming, those of the next n sites.
            bias: added to c for each example `(B, H)`, or None.
        """
        n = past.shape[1]
        start = self.advance(n)
        W, V, b = (t[start : start + n] for t in (self.W, self.V, self.b))
        with torch.autocast(past.device.type, enabled=False):  # a sum over hundreds of sites is no work for bfloat16
            ordered = past.transpose(0, 1).to(W.dtype)
            a = self.past["a"] if self.past and start else self._start(len(past), bias)
            if self.past is not None:  # codes depend on how this rounds: tests/compatibility
                out, self.past["a"] = prefix(ordered, W, V, b, a, self.activation, self.block)
                return out
            kernel = CompiledPrefix if self.compiled and not ordered.requires_grad else Prefix
            return kernel.apply(ordered, W, V, b, a, self.activation, self.block)

    def hidden(self, past: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the units h `(B, D, H)` at every site, given the values before each `(B, D, E)` and a bias."""
        with torch.autocast(past.device.type, enabled=False):
            read = torch.einsum("bne,neh->bnh", past.to(self.W.dtype), self.W).cumsum(1)
            a = self._start(len(past), bias)[:, None] + read
            return torch.sigmoid(a) if self.activation == "sigmoid" else torch.relu(a)

    def _start(self, batch: int, bias: Tensor | None) -> Tensor:
        """Return the pre-activation `(B, H)` before anything is read."""
        return self.c.expand(batch, -1) if bias is None else (self.c + bias).to(self.c.dtype)
