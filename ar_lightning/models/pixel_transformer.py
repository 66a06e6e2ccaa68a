r"""Pixel Transformer: a decoder-only transformer over the values of an image, in raster order.

    h_t = read(x_{t-1}) + place of token t - 1 + place of token t,    a place: row + column + colour
    h += Attention(norm(h)),  h += MLP(norm(h))    in each of L layers,
    p(x_t | x_<t) = likelihood(out(norm(h_t)))

Parmar et al., "Image Transformer", ICML 2018; Child et al., "Generating Long Sequences with Sparse Transformers", 2019,
whose position embeddings by row, column and colour these are; Chen et al., "Generative Pretraining from Pixels" (iGPT),
ICML 2020, for the layers: pre-norm, GELU, GPT-2's initialisation. A token is a value, or a pixel where the likelihood
models its colours jointly.

Deviations: attention is over the whole past, neither local (Image Transformer) nor strided (Sparse Transformer), so its
cost grows with the square of the tokens; values are read as numbers unless `likelihood.encoding=one_hot` embeds each
level, and there is no palette as in iGPT; initial weights are scaled to the width; a class is embedded in every token
when conditional. Published on CIFAR-10: 2.90 (Image Transformer) and 2.80 bits/dim (Sparse Transformer), not reproduced
here.
"""

import torch
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel, check_images
from ar_lightning.nn.attention import CausalSelfAttention
from ar_lightning.nn.given import GivenBias, given_bias
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["PixelTransformer", "PositionEmbedding", "token_positions"]

EMBEDDED = 0.3  # initial standard deviation of what a token is the sum of


class PixelTransformer(SequenceModel):
    """Transformer over the values of an image in raster order; each sees its whole past.

    References:
        Parmar et al., Image Transformer (2018).
        Child et al., Generating Long Sequences with Sparse Transformers (2019).
        Chen et al., Generative Pretraining from Pixels (2020).

    Args:
        width: features of a token.
        layers: pairs of an attention and an MLP layer.
        heads: attention heads; divides width.
        dropout: probability of dropping a feature, of the tokens and of what each layer adds to them.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: the data are no images, or the heads do not divide the width.
    """

    encoding = "scaled"
    reads_context = True
    blocks = "layers"
    dims = 2
    hidden_layers = ("read", "layers", "layers.*", "norm")

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: PositiveInt = 128,
        layers: PositiveInt = 6,
        heads: PositiveInt = 4,
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        check_images(shapes)
        super().__init__(shapes, conditional=conditional)
        self.read = nn.Linear(shapes.token_inputs, width)
        self.position = PositionEmbedding(shapes, width)
        self.class_bias = given_bias(self.given_sizes, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(*(Layer(width, heads, shapes.tokens, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, shapes.params)
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        """GPT-2's initial weights, but scaled to the width: its 0.02 suits 768 features and more."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5
                if name.endswith(("attention.out", "mlp.2")):  # 2L of these are summed: the sum is not to grow with L
                    std *= (2 * layers) ** -0.5
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=EMBEDDED)
            elif isinstance(module, GivenBias):
                module.initialise(EMBEDDED)
        nn.init.normal_(self.read.weight, std=EMBEDDED)
        nn.init.normal_(self.position.start, std=EMBEDDED)
        nn.init.normal_(self.out.weight, std=0.02)  # the first parameters are near zero

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        h = self.read(past) + self.position(past.shape[1])  # (B, n, width)
        if self.class_bias is not None:
            h = h + self.class_bias(cond)[:, None]
        h = self.norm(self.layers(self.dropout(h)))
        with uncast(h):  # rounding a logit to bfloat16 costs likelihood
            params: Tensor = self.out(h.to(self.out.weight.dtype))
        return params


class Layer(nn.Module):
    """Attention, then an MLP on each token; both read normalised features and add to the features."""

    def __init__(self, width: int, heads: int, tokens: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads, tokens)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Map tokens `(B, n, width)` to `(B, n, width)`."""
        h = h + self.dropout(self.attention(self.norm_attention(h)))
        return h + self.dropout(self.mlp(self.norm_mlp(h)))


class PositionEmbedding(Streaming):
    """Learned embeddings of row, column and colour of the token to predict, and of the token that was read.

    Both places are given, since at the left edge the token that was read is at the far end of the row above. Before the
    first token, a learned vector stands for the token that was read.
    """

    positions: Tensor

    def __init__(self, shapes: Shapes, width: int) -> None:
        super().__init__()
        self.register_buffer("positions", token_positions(shapes), persistent=False)
        sizes = [*shapes.data[1:], *([shapes.groups] if shapes.groups > 1 else [])]
        self.predicted = nn.ModuleList(nn.Embedding(n, width) for n in sizes)
        self.read = nn.ModuleList(nn.Embedding(n, width) for n in sizes)
        self.start = nn.Parameter(torch.empty(1, width))

    def forward(self, n: int) -> Tensor:
        """Return the embedding of all tokens `(n, width)`; while streaming, of the next n."""
        start = self.advance(n)
        if self.past is None:
            return self._all()
        if not start:
            self.past["all"] = self._all()
        embedded: Tensor = self.past["all"]
        return embedded[start : start + n]

    def _all(self) -> Tensor:
        predicted, read = (
            torch.stack([table(i) for table, i in zip(tables, self.positions, strict=False)]).sum(0)  # (tokens, width)
            for tables in (self.predicted, self.read)
        )
        return predicted + torch.cat([self.start, read[:-1]])


def token_positions(shapes: Shapes) -> Tensor:
    """Return row, column and colour of every token, `(3, tokens)`, in the order in which they are read."""
    tokens, (_, _, columns) = torch.arange(shapes.tokens), shapes.data
    pixels = tokens // shapes.groups
    return torch.stack([pixels // columns, pixels % columns, tokens % shapes.groups])
