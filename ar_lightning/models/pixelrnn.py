r"""PixelRNN and PixelCNN: residual networks of LSTMs over the rows or the diagonals of an image, or of convolutions.

    v_0 = conv_A(x),    v_l = v_{l-1} + branch_l(v_{l-1}),    p(x_ij | x_<ij) = likelihood(head(v_L))

van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016. A 7x7 convolution of mask A,
branches of h channels in a residual stream of 2h, then two ReLU and 1x1 layers. In RGB images the channels of all
layers are in three groups, masked so that red is read before green and green before blue. Masked kernels are cropped to
what they may see.

- Row LSTM: a state reads k pixels of the row above (k = 3 in the paper and by default). Nothing runs, as in the paper,
  along a row but convolutions: a pixel sees 3 + layers * (k // 2) pixels to its left, and a triangle that widens
  upwards by k // 2 a row: not the whole past of a wide image.
- Diagonal BiLSTM: a state reads the pixel above and the one beside it, from the left and, a row further up, from the
  right. The two maps are summed. A pixel sees its whole past but one: the last pixel of the row above, where that is
  more than three columns away, since the first layer hides a pixel from its own place in the map.
- PixelCNN: k x k convolutions of mask B (section 3.4, figure 5; the paper's k = 3). A stack of these has a blind spot:
  what it sees widens to the right by k // 2 a row, however many layers there are, so that a pixel never learns of those
  far to the right in the row above. The Gated PixelCNN has none.

Deviations: class-dependent bias of the first map when conditional; optional dropout; learned initial states for each
channel, the same for every column; h is rounded up to a multiple of the colours. Published: 80.54 nats (Row LSTM),
79.20 (Diagonal BiLSTM) and 81.30 (PixelCNN) on fixed binarized MNIST. In `conf/published/`, with kernels of 7,
`row_lstm_binarized_mnist.yaml` reaches 80.50 and `pixelcnn_binarized_mnist.yaml` 80.99; with kernels of 3,
`row_lstm_7x24_binarized_mnist.yaml` 81.13 and `pixelcnn_15x32_binarized_mnist.yaml` 83.39.
`diagonal_bilstm_1x32_binarized_mnist.yaml`, of a single layer, reaches 81.13 (published 80.75).
"""

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.conv import CausalConv, FirstConv, Pointwise, batch_last, odd, output_layers, round_up
from ar_lightning.nn.given import given_bias
from ar_lightning.nn.lstm import DiagonalLSTMLayer, RowLSTMLayer

__all__ = ["DiagonalBiLSTM", "PixelCNN", "RowLSTM"]


class PixelNetwork(RasterModel):
    """The network of the paper, but for the branches of the residual stream.

    Args:
        hidden: channels h of a branch (of an LSTM's state); the residual stream has 2h.
        layers: branches.
        head: channels of the two 1x1 layers before the output (the paper: 32 for MNIST, 1024 for CIFAR-10).
        dropout: probability of dropping a channel of a branch at a pixel.
        conditional: condition on the data's labels and vectors.
    """

    encoding = "scaled"
    reads_context = True
    dims = 2
    exports = True
    blocks = "branches"
    hidden_layers = ("first.*", "branches.*", "head.[0-4]")
    layout: torch.memory_format = torch.contiguous_format  # of the maps and kernels
    batch_last = True  # its branches take maps with the images of a batch last in memory

    def __init__(
        self,
        shapes: Shapes,
        *,
        hidden: PositiveInt = 16,
        layers: PositiveInt = 7,
        head: PositiveInt = 32,
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, conditional)
        hidden = round_up(hidden, shapes.groups)
        stream = 2 * hidden
        self.first = FirstConv(shapes, stream)
        self.class_bias = given_bias(self.given_sizes, stream)
        self.branches = nn.ModuleList(self.make_branch(stream, hidden, shapes.groups, dropout) for _ in range(layers))
        self.head = output_layers(shapes, stream, head)
        self.to(memory_format=self.layout)

    @abstractmethod
    def make_branch(self, stream: int, hidden: int, colours: int, dropout: float) -> nn.Module:
        """Make a module that maps the residual stream `(B, stream, h, w)` to what is added to it."""

    def row(self, above: Tensor, cond: Given = None) -> Tensor:
        features = self.first.above(above.contiguous(memory_format=self.layout))  # (B, 2h, h, W)
        return features if self.class_bias is None else features + self.class_bias(cond)[..., None, None]

    def pixel(self, left: Tensor, features: Tensor, cond: Given = None) -> Tensor:
        return features + self.first.left(left)

    def colour(self, earlier: Tensor | None, features: Tensor, cond: Given = None) -> Tensor:
        v = self.first.colour(earlier, features)
        if self.batch_last and v.ndim == 4:  # while streaming, it is a pixel
            v = batch_last(v)
        for branch in self.branches:
            v = v + branch(v)
        params: Tensor = self.head(v)
        return params


class RowLSTM(PixelNetwork):
    """PixelRNN with Row LSTM layers: the state of a pixel reads those of the row above, as far as the kernel reaches.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).

    Args:
        kernel: width of the kernels of the branches, odd; the paper's is 3.

    Raises:
        ValueError: the kernel is even.
    """

    def __init__(self, shapes: Shapes, *, kernel: PositiveInt = 3, **shared: Any) -> None:
        self.kernel = odd(kernel)  # before the rest, which makes the branches
        super().__init__(shapes, **shared)

    def make_branch(self, stream: int, hidden: int, colours: int, dropout: float) -> nn.Module:
        return with_up(RowLSTMLayer(stream, hidden, colours, self.kernel), stream, hidden, colours, dropout)


class DiagonalBiLSTM(PixelNetwork):
    """PixelRNN with Diagonal BiLSTM layers: the state of a pixel reads those above and beside it, from both sides.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).
    """

    def make_branch(self, stream: int, hidden: int, colours: int, dropout: float) -> nn.Module:
        return with_up(DiagonalLSTMLayer(stream, hidden, colours), stream, hidden, colours, dropout)


class PixelCNN(PixelNetwork):
    """PixelCNN: residual blocks of masked convolutions; it has the blind spot of the paper's.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).

    Args:
        kernel: width of the kernels of the branches, odd; the paper's is 3.

    Raises:
        ValueError: the kernel is even.
    """

    layout = torch.channels_last  # which convolutions keep, and need not copy into another and back
    batch_last = False

    def __init__(self, shapes: Shapes, *, kernel: PositiveInt = 3, **shared: Any) -> None:
        self.kernel = odd(kernel)  # before the rest, which makes the branches
        super().__init__(shapes, **shared)

    def make_branch(self, stream: int, hidden: int, colours: int, dropout: float) -> nn.Module:
        return Block(stream, hidden, self.kernel, colours, dropout)


def with_up(lstm: nn.Module, stream: int, hidden: int, colours: int, dropout: float) -> nn.Module:
    """Follow an LSTM by a 1x1 convolution up to the channels of the stream."""
    up = Pointwise(hidden, stream, colours=colours)
    # Without dropout there is no module for it: sampling would call it at every pixel, and older checkpoints lack it.
    return nn.Sequential(lstm, nn.Dropout(dropout), up) if dropout else nn.Sequential(lstm, up)


class Block(nn.Module):
    """The residual branch: 1x1 down to `hidden` channels, k x k of mask B, 1x1 up again."""

    def __init__(self, stream: int, hidden: int, kernel: int, colours: int, dropout: float) -> None:
        super().__init__()
        self.dropout, reach = dropout, kernel // 2
        self.down = Pointwise(stream, hidden, colours=colours)
        self.conv = CausalConv(hidden, hidden, above=reach, left=reach, right=reach, colours=colours)
        self.up = Pointwise(hidden, stream, colours=colours)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, stream, h, w)` to what is added to it."""
        if v.ndim == 2:  # a pixel
            return self.up.step(self.conv.step(self.down.step(torch.relu(v)).relu_()).relu_())
        h = torch.relu(self.conv(torch.relu(self.down(torch.relu(v)))))
        added: Tensor = self.up(F.dropout(h, self.dropout) if self.training and self.dropout else h)
        return added
