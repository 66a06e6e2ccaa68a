r"""PixelRNN: recurrent networks over the rows of an image.

    v_0 = conv_A(x),    v_l = v_{l-1} + up(LSTM_l(v_{l-1})),    p(x_ij | x_<ij) = likelihood(head(v_L))

van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016. Here the Row LSTM: a 7x7
convolution of mask A, layers whose state runs down the rows (`nn/row_lstm.py`) in a residual stream of 2h channels,
then two ReLU and 1x1 layers. The masked kernels are cropped to what they may see: rows above (3x7) and pixels to the
left (1x3) for the first layer.

As in the paper, nothing runs along a row but convolutions: a pixel sees 3 + layers pixels to its left, and a triangle
that widens upwards, which is not the whole past of a wide image. Deviations: class-dependent bias of the first map
when conditional; one channel (no R -> G -> B masks). Published: 80.54 nats on fixed binarized MNIST, not reproduced
here yet.
"""

from torch import Tensor, nn

from ar_lightning.errors import UserError
from ar_lightning.fieldtypes import PositiveInt
from ar_lightning.nn.causal import RasterModel
from ar_lightning.nn.conv import ColumnConv, Pointwise, RowConv
from ar_lightning.nn.row_lstm import RowLSTMLayer
from ar_lightning.spec import Shapes

__all__ = ["RowLSTM"]


class RowLSTM(RasterModel):
    """PixelRNN with Row LSTM layers: the state of a pixel reads three pixels of the row above.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).

    Args:
        hidden: channels h of an LSTM state; the residual stream has 2h.
        layers: Row LSTM layers.
        head: channels of the two 1x1 layers before the output (the paper: 32 for MNIST, 1024 for CIFAR-10).
        conditional: condition on the data's labels.

    Raises:
        UserError: the data are no images of one channel.
    """

    encoding = "scaled"
    dims = 2
    max_channels = 1

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
        if shapes.data[0] > self.max_channels:
            raise UserError(f"row_lstm reads images of one channel, the data has {shapes.data[0]}")
        stream = 2 * hidden
        self.above = RowConv(shapes.inputs, stream, height=3, width=7)
        self.left = ColumnConv(shapes.inputs, stream, width=3, bias=False)
        self.class_bias = nn.Embedding(self.classes, stream) if self.classes else None
        self.layers = nn.ModuleList(RowLSTMLayer(stream, hidden) for _ in range(layers))
        self.up = nn.ModuleList(Pointwise(hidden, stream) for _ in range(layers))
        self.head = nn.Sequential(
            nn.ReLU(),
            Pointwise(stream, head),
            nn.ReLU(),
            Pointwise(head, head),
            nn.ReLU(),
            Pointwise(head, shapes.params),
        )

    def row(self, above: Tensor, cond: Tensor | None = None) -> Tensor:
        features = self.above(above)  # (B, 2h, h, W)
        return features if self.class_bias is None else features + self.class_bias(cond)[..., None, None]

    def pixel(self, left: Tensor, features: Tensor, cond: Tensor | None = None) -> Tensor:
        v = features + self.left(left)
        for lstm, up in zip(self.layers, self.up, strict=True):
            v = v + up(lstm(v))
        return self.head(v)
