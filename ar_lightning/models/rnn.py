r"""Recurrent network: one state that summarises all values read so far.

    s_t = cell(s_{t-1}, read(x_{t-1})),    p(x_t | x_<t) = likelihood(out(h_t)),    h_t the output in s_t

where the cell is that of a plain network, `h = tanh(W x + U h + b)`, of an LSTM (Hochreiter & Schmidhuber, "Long
short-term memory", Neural Computation 1997; with the forget gate of Gers et al., 2000) or of a GRU (Cho et al.,
"Learning phrase representations using RNN encoder-decoder", EMNLP 2014). Layers are stacked; the last is read out.

Graves, "Generating sequences with recurrent neural networks", 2013, is the model of text, a character at a time.
Deviations from it: no connections from the input to every layer and from every layer to the output, and no peepholes;
dropout between the layers and before the output (Zaremba et al., "Recurrent neural network regularization", 2014). On
tiny Shakespeare, `conf/published/char_lstm_shakespeare.yaml` reaches 2.061 bits a character.
"""

from typing import Literal

from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Dropout, NonNegativeInt, Order, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.given import GivenBias, given_bias
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.recurrent import Recurrent
from ar_lightning.nn.streaming import Streaming
from ar_lightning.nn.tokens import TokenReader

__all__ = ["RNN"]

EMBEDDED = 0.3  # initial standard deviation of what is read at a step


class RNN(SequenceModel):
    """Recurrent network over the values: plain, GRU or LSTM layers, for text and any other sequence.

    References:
        Hochreiter & Schmidhuber, Long short-term memory (1997).
        Graves, Generating sequences with recurrent neural networks (2013).
        Cho et al., Learning phrase representations using RNN encoder-decoder (2014).

    Args:
        cell: plain tanh units, GRU or LSTM.
        hidden: units of a layer.
        layers: recurrent layers.
        embedding: features of a value that is read.
        dropout: probability of dropping a unit, between layers and before the output.
        position: also read an embedding of the site to be predicted; the length is then fixed.
        order: raster, or one fixed random permutation of all values.
        order_seed: chooses the permutation.
        conditional: condition on the data's labels and vectors.
    """

    encoding = "index"
    reads_context = True
    any_length = True
    carries = True
    exports = True
    hidden_layers = ("read", "recurrent")

    def __init__(
        self,
        shapes: Shapes,
        *,
        cell: Literal["rnn", "gru", "lstm"] = "lstm",
        hidden: PositiveInt = 256,
        layers: PositiveInt = 1,
        embedding: PositiveInt = 64,
        dropout: Dropout = 0.0,
        position: bool = False,
        order: Order = "raster",
        order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, order, order_seed, conditional)
        self.read = TokenReader(shapes, embedding)
        self.site = SiteEmbedding(shapes.tokens, embedding) if position else None
        self.class_bias = given_bias(self.given_sizes, embedding)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=EMBEDDED)
            elif isinstance(module, GivenBias):
                module.initialise(EMBEDDED)
        self.recurrent = Recurrent(cell, embedding, hidden, layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, shapes.params)
        nn.init.normal_(self.out.weight, std=0.02)  # the first parameters are near zero
        nn.init.zeros_(self.out.bias)

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        read = self.read(past)  # (B, n, embedding)
        if self.site is not None:
            read = read + self.site(past.shape[1])
        if self.class_bias is not None:
            read = read + self.class_bias(cond)[:, None]
        h = self.dropout(self.recurrent(read))  # (B, n, hidden)
        with uncast(h):  # rounding a logit to bfloat16 costs likelihood
            params: Tensor = self.out(h.to(self.out.weight.dtype))
        return params


class SiteEmbedding(Streaming):
    """A learned embedding of the token to be predicted, in the order of the model."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)

    def forward(self, n: int) -> Tensor:
        """Return the embeddings of all tokens `(n, width)`; while streaming, of the next n."""
        start = self.advance(n)
        embedded: Tensor = self.table.weight[start : start + n]
        return embedded
