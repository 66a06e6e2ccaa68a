r"""Any-order transformer: one network for every order, all conditionals of an order in one pass.

    h_t = read(x_{o_{t-1}}) + came[o_{t-1}] + here[o_t],    p(x_{o_t} | x_{o_<t}) = likelihood(out(norm(h_t)))

after the layers of `transformer`, for an order o of the values. Each token is told its own place and that of the token
that it is to predict, so that the values may come in any order under the usual causal mask: Pannatier, Courdier &
Fleuret, "sigma-GPTs: a new approach to autoregressive models", 2024. It is trained on -log p in an order drawn for
each example, whose mean over orders is the objective of deep NADE and of Hoogeboom et al., "Autoregressive diffusion
models", ICLR 2022. Those predict all unknown values from one set of known ones, this all values of one order, which is
as unbiased and varies less.

Each order is a density of its own; `ensemble` of them are averaged. What a value's parameters depend on are the values
before it and the order in which they were read, unlike in deep NADE. A completion reads what is known in the order of
the first member: see `OrderlessDensity`.

Deviations: those of `transformer`; queries are turned by the place to predict, where sigma-GPT adds embeddings alone.
No published number is reproduced here.
"""

from typing import Literal

import torch
from torch import Tensor

from ar_lightning.core.condition import Given, rows_of
from ar_lightning.core.fields import Dropout, NonNegativeInt, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.orders import token_order
from ar_lightning.models.transformer import Transformer

__all__ = ["AnyOrderTransformer"]


class AnyOrderTransformer(Transformer):
    """Transformer for all orders of the values, trained on random ones.

    References:
        Pannatier, Courdier & Fleuret, sigma-GPTs: A New Approach to Autoregressive Models (2024).
        Hoogeboom et al., Autoregressive Diffusion Models (2022).

    Args:
        width: features of a token.
        layers: pairs of an attention and an MLP layer.
        heads: attention heads; divides width.
        mlp: GELU units, four times the width; or SwiGLU, of about as many weights.
        dropout: probability of dropping a feature, of the tokens and of what each layer adds to them.
        tie: score levels by the embeddings that they are read by; needs likelihood.encoding=index.
        ensemble: random orders whose densities are averaged.
        order_seed: seed of the orders.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: the heads do not divide the width, or there are no embeddings to tie.
    """

    encoding = "index"
    reads_context = True
    blocks = "layers"
    any_length = False
    orderless = True
    one_pass = True

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: PositiveInt = 128,
        layers: PositiveInt = 4,
        heads: PositiveInt = 4,
        mlp: Literal["gelu", "swiglu"] = "gelu",
        dropout: Dropout = 0.0,
        tie: bool = False,
        ensemble: PositiveInt = 1,
        order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(
            shapes, ensemble, width=width, layers=layers, heads=heads, mlp=mlp, dropout=dropout, tie=tie,
            order="random", order_seed=order_seed, conditional=conditional,
        )  # fmt: skip
        self.members = ensemble

    def forward(self, z: Tensor, cond: Given = None, known: Tensor | None = None) -> Tensor:
        """Return the parameters `(B, groups * P, *sites)` of every site, given `z` `(B, C * E, *sites)`.

        They follow the chain rule in this member's order. Given booleans `known` `(B, tokens)`, they are those of every
        unknown token given all known ones, read in this member's order; they mean nothing where a token is known. Since
        what is read last is told what to predict, that is a pass for each token.
        """
        if known is None:
            return super().forward(z, cond)
        n, place = known.shape[1], token_order(self.order, self.shapes).argsort()
        late = (~known).long()[:, None] * (2 - torch.eye(n, dtype=torch.long, device=z.device))  # (B, n, n)
        orders = (place + n * late).argsort(2)  # of each token: what is known, then itself, then the others
        rows = torch.arange(len(z), device=z.device).repeat_interleave(n)
        params = self.in_orders(z[rows], orders.flatten(0, 1), None if cond is None else rows_of(cond, rows))
        of_each = self.tokens(params).unflatten(0, (-1, n))  # (B, n, n, P)
        return self.at_sites(of_each.diagonal(dim1=1, dim2=2).transpose(1, 2))

    def scan_in(self, past: Tensor, path: Tensor, cond: Given = None) -> Tensor:
        n = past.shape[1]
        start = self.memory.advance(n)
        path = path[..., start : start + n + 1]
        if not start:
            path = torch.cat([torch.full_like(path[..., :1], self.places.start), path[..., 1:]], -1)
        return self.along(past, path, cond)
