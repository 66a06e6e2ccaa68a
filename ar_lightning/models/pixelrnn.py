r"""PixelRNN: recurrent networks over the rows or the diagonals of an image.

    v_0 = conv_A(x),    v_l = v_{l-1} + up(LSTM_l(v_{l-1})),    p(x_ij | x_<ij) = likelihood(head(v_L))

van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016. A 7x7 convolution of mask A,
LSTM layers (`nn/lstm.py`) in a residual stream of 2h channels, then two ReLU and 1x1 layers. In RGB images the channels
of all layers are in three groups, masked so that red is read before green and green before blue. Masked kernels are
cropped to what they may see.

- Row LSTM: a state reads three pixels of the row above. As in the paper, nothing runs along a row but convolutions: a
  pixel sees 3 + layers pixels to its left, and a triangle that widens upwards: not the whole past of a wide image.
- Diagonal BiLSTM: a state reads the pixel above and the one beside it, from the left and, a row further up, from the
  right. The two maps are summed. A pixel sees its whole past but one: the last pixel of the row above, where that is
  more than three columns away, since the first layer hides a pixel from its own place in the map.

Deviations: class-dependent bias of the first map when conditional; learned initial states for each channel, the same
for every column; h is rounded up to a multiple of the colours. Published: 80.54 nats (Row LSTM) and 79.20 (Diagonal
BiLSTM) on fixed binarized MNIST, not reproduced here yet.
"""

from torch import Tensor, nn

from ar_lightning.fieldtypes import PositiveInt
from ar_lightning.nn.causal import RasterModel
from ar_lightning.nn.conv import FirstConv, Pointwise, output_layers, round_up
from ar_lightning.nn.lstm import DiagonalLSTMLayer, RowLSTMLayer
from ar_lightning.spec import Shapes

__all__ = ["DiagonalBiLSTM", "RowLSTM"]


class RowLSTM(RasterModel):
    """PixelRNN with Row LSTM layers: the state of a pixel reads three pixels of the row above.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).

    Args:
        hidden: channels h of an LSTM state; the residual stream has 2h.
        layers: LSTM layers.
        head: channels of the two 1x1 layers before the output (the paper: 32 for MNIST, 1024 for CIFAR-10).
        conditional: condition on the data's labels.
    """

    encoding = "scaled"
    dims = 2

    def __init__(
        self,
        shapes: Shapes,
        *,
        hidden: PositiveInt = 16,
        layers: PositiveInt = 7,
        head: PositiveInt = 32,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, conditional)
        colours = shapes.groups
        hidden = round_up(hidden, colours)
        stream = 2 * hidden
        self.first = FirstConv(shapes, stream)
        self.class_bias = nn.Embedding(self.classes, stream) if self.classes else None
        self.layers = nn.ModuleList(self.layer(stream, hidden, colours) for _ in range(layers))
        self.up = nn.ModuleList(Pointwise(hidden, stream, colours=colours) for _ in range(layers))
        self.head = output_layers(shapes, stream, head)

    def layer(self, channels: int, hidden: int, colours: int) -> nn.Module:
        """Make one LSTM layer."""
        return RowLSTMLayer(channels, hidden, colours)

    def row(self, above: Tensor, cond: Tensor | None = None) -> Tensor:
        features = self.first.above(above)  # (B, 2h, h, W)
        return features if self.class_bias is None else features + self.class_bias(cond)[..., None, None]

    def pixel(self, left: Tensor, features: Tensor, cond: Tensor | None = None) -> Tensor:
        return features + self.first.left(left)

    def colour(self, earlier: Tensor | None, features: Tensor, cond: Tensor | None = None) -> Tensor:
        v = self.first.colour(earlier, features)
        for lstm, up in zip(self.layers, self.up, strict=True):
            v = v + up(lstm(v))
        params: Tensor = self.head(v)
        return params


class DiagonalBiLSTM(RowLSTM):
    """PixelRNN with Diagonal BiLSTM layers: the state of a pixel reads those above and beside it, from both sides.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).
    """

    encoding = "scaled"
    dims = 2

    def layer(self, channels: int, hidden: int, colours: int) -> nn.Module:
        """Make one LSTM layer."""
        return DiagonalLSTMLayer(channels, hidden, colours)
