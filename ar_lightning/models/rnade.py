r"""RNADE, the real-valued neural autoregressive density estimator.

    a_d = c + sum_{j<d} W_j x_j,    h_d = f(rho_d a_d),    p(x_d | x_<d) = likelihood(V_d h_d + b_d)

Uria, Murray & Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NIPS 2013. W is shared by
all dimensions, as in NADE. The sums grow with d and would saturate the units; the learned rho_d scales them back.
Deviations: any likelihood (the paper's are mixtures of Gaussians and of Laplace distributions), optional
class-dependent hidden bias and dropout, rho_d starts at 1 / sqrt(d). Published: -9.36 nats on red wine with mixtures of
Gaussians, mean test log-likelihood over 10 folds; `conf/published/rnade_red_wine.yaml` reaches -9.27 +- 0.13 (standard
error over folds), by `python -m benchmarks.published rnade_red_wine`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Activation, Dropout, NonNegativeInt, Order, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.given import given_bias
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["RNADE"]


class RescaledPrefix(Streaming):
    """Hidden units that have read the values before each dimension, rescaled there, and the outputs they give.

    There are `dims` dimensions D of `inputs` E and `params` P each, and H units.
    """

    def __init__(
        self, dims: int, inputs: int, hidden: int, params: int, activation: Activation, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.f = F.relu if activation == "relu" else torch.sigmoid
        self.W = nn.Parameter(torch.empty(dims, inputs, hidden))  # W[d] reads the value before d; W[0] reads zeros
        self.V = nn.Parameter(torch.empty(dims, params, hidden))
        self.b = nn.Parameter(torch.empty(dims, params))
        self.c = nn.Parameter(torch.empty(hidden))
        self.rho = nn.Parameter(torch.arange(1, dims + 1).rsqrt())
        nn.init.normal_(self.W, std=inputs**-0.5)
        nn.init.normal_(self.c)
        # Small, but not zero: the components of a mixture start apart, at densities that are sensible everywhere.
        nn.init.normal_(self.V, std=0.1 * hidden**-0.5)
        nn.init.normal_(self.b, std=0.1)

    def forward(self, past: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map the values before each of n dimensions `(B, n, E)`, and a bias of the units `(B, H)`, to `(B, n, P)`."""
        n = past.shape[1]
        start = self.advance(n)
        V, b = (t[start : start + n] for t in (self.V, self.b))
        with uncast(past):  # sums are no work for bfloat16
            h = F.dropout(self.hidden(past, bias, start), self.dropout, self.training)
            return torch.einsum("bnh,nph->bnp", h, V) + b

    def hidden(self, past: Tensor, bias: Tensor | None = None, start: int = 0) -> Tensor:
        """Return the units h `(B, n, H)` at n dimensions from `start` on, given the values before each."""
        W, rho = (t[start : start + past.shape[1]] for t in (self.W, self.rho))
        with uncast(past):
            a = torch.einsum("bne,neh->bnh", past.to(W.dtype), W).cumsum(1)
            if self.past is not None:
                a = a + self.past.get("a", 0)
                self.past["a"] = a[:, -1:]
            c = self.c if bias is None else self.c + bias.to(W.dtype)[:, None]
            return self.f(rho[:, None] * (a + c))


class RNADE(SequenceModel):
    """RNADE: one hidden layer that reads real values one by one, rescaled at each.

    References:
        Uria, Murray & Larochelle, RNADE: The real-valued neural autoregressive density-estimator (2013).

    Args:
        hidden: hidden units H.
        activation: activation f of the hidden units.
        dropout: probability of dropping a hidden unit at a dimension.
        order: the order in which the values are visited.
        order_seed: seed of a random order.
        conditional: condition on the data's labels and vectors.
    """

    encoding = "one_hot"
    reads_context = True

    def __init__(
        self,
        shapes: Shapes,
        *,
        hidden: PositiveInt = 50,
        activation: Activation = "relu",
        dropout: Dropout = 0.0,
        order: Order = "raster",
        order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, order, order_seed, conditional)
        self.units = RescaledPrefix(shapes.tokens, shapes.token_inputs, hidden, shapes.params, activation, dropout)
        self.class_bias = given_bias(self.given_sizes, hidden)

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        return self.units(past, self.bias_of(cond))

    def bias_of(self, cond: Given) -> Tensor | None:
        """Return the bias `(B, H)` that a label or a vector adds to the hidden units."""
        return None if self.class_bias is None else self.class_bias(cond)

    def hidden_units(self, z: Tensor, cond: Given = None, only: str | None = None) -> dict[str, Tensor]:
        return {"units": self.units.hidden(self.tokens_before(z), self.bias_of(cond))}
