r"""Transformer: one decoder-only network for every kind of sequence: text, sound, rows of a table, pixels.

    h_t = read(x_{t-1}) + came[place of t - 1] + here[place of t]
    h += Attention(norm(h)),  h += MLP(norm(h))    in each of L layers,
    p(x_t | x_<t) = likelihood(out(norm(h_t)))

Vaswani et al., "Attention is all you need", 2017; Radford et al., "Language models are unsupervised multitask
learners" (GPT-2), 2019, for the layers: pre-norm, and sums that do not grow with L. As in today's networks of this
kind, norms are RMSNorm (Zhang & Sennrich, 2019), the MLP may be SwiGLU (Shazeer, 2020), and positions are rotary (Su et
al., 2021): along a sequence, and by row and column of an image. A query is turned by the place of the value that it
predicts, a key by the place of the value that was read, so that attention knows how far apart the two are, in whichever
order the values are visited.

Rotary positions tell no column of a table from another, and no pixel from that beside it. So each place has a learned
embedding as well, the sum of those of its row, its column and its channel; without (`position: false`) the weights are
for any length, as text wants it.

Deviations: attention is over the whole past; initial weights are scaled to the width, as in `pixel_transformer`; a
class is embedded in every token when conditional; features are divided by the root of the width where tied embeddings
score them. No published number is reproduced here.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Dropout, NonNegativeInt, Order, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.orders import token_order
from ar_lightning.nn.attention import CausalSelfAttention
from ar_lightning.nn.given import GivenBias, given_bias
from ar_lightning.nn.kernels.rms_norm import RMSNorm
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.rotary import for_heads, turns
from ar_lightning.nn.streaming import Streaming
from ar_lightning.nn.tokens import TokenReader

__all__ = ["EMBEDDED", "SEQUENCE_BASE", "Layer", "Transformer", "initialise", "norm_of"]

EMBEDDED = 0.3  # initial standard deviation of what a token is the sum of
Norm = Literal["rms", "layer"]
SEQUENCE_BASE, IMAGE_BASE = 10_000.0, 100.0  # slowest turn of a rotary position: 1 / base radians a site


class Transformer(SequenceModel):
    """Transformer over the values of any data, in one order; each sees its whole past.

    References:
        Vaswani et al., Attention is all you need (2017).
        Radford et al., Language models are unsupervised multitask learners (2019).
        Su et al., RoFormer: Enhanced transformer with rotary position embedding (2021).

    Args:
        orders: number of orders that the values may be visited in, if random.
        width: features of a token.
        layers: pairs of an attention and an MLP layer.
        heads: attention heads; divides width.
        mlp: GELU units, four times the width; or SwiGLU, of about as many weights.
        dropout: probability of dropping a feature, of the tokens and of what each layer adds to them.
        position: also read an embedding of the site to be predicted; without, the length is free, as of a text.
        tie: score levels by the embeddings that they are read by; needs likelihood.encoding=index.
        rotary: turn queries and keys by their places; else one embedding, not those of each axis, stands before all.
        norm: RMSNorm, or LayerNorm.
        bias: learn biases in the layers; GPT-2's are those without rotary, with LayerNorm and with biases.
        order: raster, or one fixed random permutation of all values.
        order_seed: chooses the permutation.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: the heads do not divide the width, there are no embeddings to tie, or there are no positions.
    """

    encoding = "index"
    reads_context = True
    blocks = "layers"
    any_length = True
    exports = True
    hidden_layers = ("read", "layers.*", "norm")

    def __init__(
        self,
        shapes: Shapes,
        orders: int = 1,
        *,
        width: PositiveInt = 128,
        layers: PositiveInt = 4,
        heads: PositiveInt = 4,
        mlp: Literal["gelu", "swiglu"] = "gelu",
        dropout: Dropout = 0.0,
        position: bool = True,
        tie: bool = False,
        rotary: bool = True,
        norm: Literal["rms", "layer"] = "rms",
        bias: bool = True,
        order: Order = "raster",
        order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, order, order_seed, conditional, orders)
        if tie and shapes.params != shapes.embedded - 1:
            raise ValueError("tie=true needs levels that are looked up and scored one by one: categorical, by index")
        if not (rotary or position):
            raise ValueError("rotary=false and position=false: nothing tells where a value is; leave one of them true")
        self.read = TokenReader(shapes, width)
        self.class_bias = given_bias(self.given_sizes, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, heads, shapes.tokens, mlp, dropout, norm, bias) for _ in range(layers))
        self.places = Places(shapes, width, heads, position, rotary)
        self.norm = norm_of(norm, width, bias)
        self.out = nn.Linear(width, shapes.params) if not tie else None
        self.bias = nn.Parameter(torch.zeros(shapes.params)) if tie else None
        self.memory = Streaming()  # how many tokens have been read, while streaming
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        initialise(self, layers)
        if self.read.linear is not None:
            nn.init.normal_(self.read.linear.weight, std=EMBEDDED)
        if self.places.nothing is not None:
            nn.init.normal_(self.places.nothing, std=EMBEDDED)
        if self.out is not None:
            nn.init.normal_(self.out.weight, std=0.02)  # the first parameters are near zero

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        n = past.shape[1]
        start = self.memory.advance(n)
        path = F.pad(token_order(self.order, self.shapes), (1, 0), value=self.places.start)
        return self.along(past, path[start : start + n + 1], cond)

    def along(self, past: Tensor, path: Tensor, cond: Given = None) -> Tensor:
        """Map encoded tokens `past` `(B, n, E)` to the parameters `(B, n, P)` of the token after each.

        `path` has the places of the tokens that were read and then that of the last to predict: `(n + 1,)`, or
        `(B, n + 1)` where the examples go different ways.
        """
        came, here = path[..., :-1], path[..., 1:]
        h = self.read(past) + self.places(came, here)  # (B, n, width)
        if self.class_bias is not None:
            h = h + self.class_bias(cond)[:, None]
        h = self.dropout(h)
        turned = self.places.turned(came, here)
        for layer in self.layers:
            h = layer(h, turned)
        h = self.norm(h)
        with uncast(h):  # rounding a logit to bfloat16 costs likelihood
            h = h.to(self.norm.weight.dtype)
            params: Tensor = self.out(h) if self.out is not None else self._tied(h)
        return params

    def _tied(self, h: Tensor) -> Tensor:
        """Score levels by their own embeddings; the first row of the table stands for no value yet."""
        return F.linear(h * h.shape[2] ** -0.5, self.read.table.weight[1:], self.bias)


def initialise(network: nn.Module, layers: int) -> None:
    """Draw GPT-2's initial weights of so many layers, but scaled to the width: its 0.02 suits 768 features and more."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            std = module.in_features**-0.5
            if name.endswith(("attention.out", "mlp.down")):  # 2L of these are summed: the sum stays as large
                std *= (2 * layers) ** -0.5
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDED)
        elif isinstance(module, GivenBias):
            module.initialise(EMBEDDED)


def norm_of(kind: Norm, width: int, bias: bool = True) -> nn.Module:
    """Return a layer that normalises so many features."""
    return RMSNorm(width, eps=1e-6) if kind == "rms" else nn.LayerNorm(width, bias=bias)


class Layer(nn.Module):
    """Attention, then an MLP on each token; both read normalised features and add to the features."""

    def __init__(
        self, width: int, heads: int, tokens: int, mlp: str, dropout: float, norm: Norm = "rms", bias: bool = True
    ) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = norm_of(norm, width, bias), norm_of(norm, width, bias)
        self.attention = CausalSelfAttention(width, heads, tokens, bias)
        self.mlp = MLP(width, mlp == "swiglu", bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, turned: Tensor | None) -> Tensor:
        """Map tokens `(B, n, width)` to `(B, n, width)`."""
        h = h + self.dropout(self.attention(self.norm_attention(h), turned))
        return h + self.dropout(self.mlp(self.norm_mlp(h)))


class MLP(nn.Module):
    """GELU units, or SwiGLU's, which are products of two; those are fewer, so that the weights are as many."""

    def __init__(self, width: int, gated: bool, bias: bool) -> None:
        super().__init__()
        hidden = 8 * width // 3 if gated else 4 * width
        self.up = nn.Linear(width, 2 * hidden if gated else hidden, bias)
        self.down = nn.Linear(hidden, width, bias)
        self.gated = gated

    def forward(self, h: Tensor) -> Tensor:
        """Map tokens `(B, n, width)` to `(B, n, width)`."""
        if self.gated:
            a, b = self.up(h).chunk(2, 2)  # (B, n, hidden) both
            units = F.silu(a) * b
        else:
            units = F.gelu(self.up(h))
        mapped: Tensor = self.down(units)
        return mapped


class Places(nn.Module):
    """Where a token is: learned embeddings of the places that were read and are predicted, and their rotary turns.

    A place is the index of a token in the flattened `(groups, *sites)`; `start`, one above, is before the first token.
    That has an embedding on each axis, or, where places are learned alone, one of its own: `nothing` was read.
    """

    where: Tensor
    turns: Tensor

    def __init__(self, shapes: Shapes, width: int, heads: int, position: bool, rotary: bool) -> None:
        super().__init__()
        sizes, axes = [*shapes.data[1:], shapes.groups], len(shapes.data) - 1
        places = torch.cartesian_prod(*map(torch.arange, [sizes[-1], *sizes[:-1]])).roll(-1, 1)  # (tokens, axes + 1)
        self.start, self.rotary, self.heads = shapes.tokens, rotary, heads
        base = SEQUENCE_BASE if axes == 1 else IMAGE_BASE
        sites = F.pad(places[:, :axes], (0, 0, 0, 1), value=-1).double()  # the start is a step before all of them
        self.register_buffer("turns", turns(sites, width // heads, base).float(), persistent=False)
        embedded = slice(0 if position else axes, axes + (rotary or shapes.groups > 1))  # of channels at least
        where = torch.cat([places, torch.tensor(sizes)[None] * rotary])  # of the start the last, which is new
        self.register_buffer("where", where.T[embedded], persistent=False)
        self.nothing = None if rotary else nn.Parameter(torch.empty(1, width))
        self.came = nn.ModuleList(nn.Embedding(n + rotary, width) for n in sizes[embedded])
        self.here = nn.ModuleList(nn.Embedding(n, width) for n in sizes[embedded])

    def forward(self, came: Tensor, here: Tensor) -> Tensor:
        """Return the embeddings `(..., width)` of the places that were read, and of those to predict."""
        read = [table(where[came]) for table, where in zip(self.came, self.where, strict=True)]
        predicted = [table(where[here]) for table, where in zip(self.here, self.where, strict=True)]
        if self.nothing is not None:
            read = [torch.where((came == self.start)[..., None], self.nothing, sum(read[1:], read[0]))]
        return sum(read[1:] + predicted, read[0])

    def turned(self, came: Tensor, here: Tensor) -> Tensor | None:
        """Return the turns of queries and keys, `(..., 2, heads, pairs, 2)`; None where places are learned alone."""
        return for_heads(self.turns[torch.stack([here, came], -1), None], self.heads) if self.rotary else None
