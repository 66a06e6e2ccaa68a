r"""PixelCNN: masked convolutions all the way.

    v_0 = conv_A(x),    v_l = v_{l-1} + W_2 relu(conv_B(relu(W_1 relu(v_{l-1})))),
    p(x_ij | x_<ij) = likelihood(head(v_L))

van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, section 3.4 and figure 5. A 7x7
convolution of mask A, residual blocks (1x1 to h channels, 3x3 of mask B, 1x1 back to 2h), then two ReLU and 1x1 layers.
In RGB images the channels of all layers are in three groups, masked so that red is read before green and green before
blue. Masked kernels are cropped to the rows that they may see.

A stack of masked convolutions has a blind spot: what it sees widens upwards by one column a row to the right, so that a
pixel never learns of those further right in the rows above. The Gated PixelCNN has none.

Deviations: class-dependent bias of the first map when conditional; h is rounded up to a multiple of the colours.
Published: 81.30 nats on fixed binarized MNIST, 3.14 bits/dim on CIFAR-10, not reproduced here yet.
"""

import torch
from torch import Tensor, nn

from ar_lightning.fieldtypes import PositiveInt
from ar_lightning.nn.causal import RasterModel
from ar_lightning.nn.conv import CausalConv, FirstConv, Pointwise, output_layers, round_up
from ar_lightning.spec import Shapes

__all__ = ["PixelCNN"]


class PixelCNN(RasterModel):
    """PixelCNN: residual blocks of masked 3x3 convolutions; it has the blind spot of the paper's.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016).

    Args:
        hidden: channels h inside a block; the residual stream has 2h.
        layers: residual blocks.
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
        hidden = round_up(hidden, shapes.groups)
        stream = 2 * hidden
        self.first = FirstConv(shapes, stream)
        self.class_bias = nn.Embedding(self.classes, stream) if self.classes else None
        self.blocks = nn.ModuleList(Block(stream, hidden, shapes.groups) for _ in range(layers))
        self.head = output_layers(shapes, stream, head)

    def row(self, above: Tensor, cond: Tensor | None = None) -> Tensor:
        features = self.first.above(above)  # (B, 2h, h, W)
        return features if self.class_bias is None else features + self.class_bias(cond)[..., None, None]

    def pixel(self, left: Tensor, features: Tensor, cond: Tensor | None = None) -> Tensor:
        return features + self.first.left(left)

    def colour(self, earlier: Tensor | None, features: Tensor, cond: Tensor | None = None) -> Tensor:
        v = self.first.colour(earlier, features)
        for block in self.blocks:
            v = v + block(v)
        params: Tensor = self.head(v)
        return params


class Block(nn.Module):
    """The residual branch: 1x1 down to `hidden` channels, 3x3 of mask B, 1x1 up again."""

    def __init__(self, stream: int, hidden: int, colours: int) -> None:
        super().__init__()
        self.down = Pointwise(stream, hidden, colours=colours)
        self.conv = CausalConv(hidden, hidden, above=1, left=1, right=1, colours=colours)
        self.up = Pointwise(hidden, stream, colours=colours)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, stream, h, w)` to what is added to it."""
        h = torch.relu(self.conv(torch.relu(self.down(torch.relu(v)))))
        added: Tensor = self.up(h)
        return added
