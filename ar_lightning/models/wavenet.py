r"""WaveNet: dilated causal convolutions with gates, whose receptive field doubles with every layer.

    x_0[t] = E[s_{t-1}],    z_l = tanh(f_l) * sigmoid(g_l),    x_{l+1} = x_l + R_l z_l
    (f_l, g_l)[t] = W_l * x_l [t] + U_l y + V_l u_t    with W_l dilated by 1, 2, 4, ..., 2^(layers-1), stack after stack
    p(s_t | s_<t, y, u) = likelihood(W_2 relu(W_1 relu(sum_l S_l z_l)))

van den Oord, Dieleman, Zen, Simonyan, Vinyals, Graves, Kalchbrenner, Senior & Kavukcuoglu, "WaveNet: A Generative Model
for Raw Audio", 2016. The levels s are mu-law companded amplitudes in the paper. y is a label that holds for the whole
example (the paper's global conditioning), u_t features of every site (local conditioning), including the site that is
predicted. Images and table rows are read as sequences, in raster order.

Deviations: the first layer is an embedding of the level before, a causal convolution of width 1 over one-hot levels;
features come as often as sites, so that nothing is upsampled; no bias where another one follows. While streaming, a
step costs O(layers), as in Le Paine et al., "Fast Wavenet Generation Algorithm", 2016. The paper published no
likelihoods. Here: 3.612 bits a sample on spoken digits, `conf/published/wavenet_spoken_digits.yaml`; 2.308 on tones
whose entropy is 2.227, `conf/wavenet.yaml`.
"""

import torch
from torch import Tensor

from ar_lightning.core.condition import Given, as_condition
from ar_lightning.core.fields import Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.dilated import DilatedStack
from ar_lightning.nn.kernels.rows_linear import RowsLinear
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.tokens import TokenReader

__all__ = ["WaveNet"]


class WaveNet(SequenceModel):
    """WaveNet: stacks of dilated causal convolutions, for sequences as long as raw audio.

    References:
        van den Oord et al., WaveNet: A Generative Model for Raw Audio (2016).

    Args:
        channels: channels of the residual stream, and gated units of a layer.
        skip: channels of the skip connections, and of the 1x1 layer before the output.
        kernel: taps of a dilated convolution, 2 or more.
        layers: layers of a stack, with dilations 1, 2, 4, ..., 2^(layers - 1).
        stacks: stacks of layers; each starts at dilation 1 again.
        dropout: probability of dropping a gated unit.
        conditional: condition on the data's labels and vectors, by a bias in every layer.
        local: condition on features that are aligned with the sites, by a 1x1 convolution in every layer.

    Raises:
        ValueError: a kernel of 1, which sees no past; local, but the data has no features.
    """

    encoding = "index"
    reads_context = True
    any_length = True
    exports = True
    hidden_layers = ("read", "dilated", "hidden")

    def __init__(
        self,
        shapes: Shapes,
        *,
        channels: PositiveInt = 32,
        skip: PositiveInt = 128,
        kernel: PositiveInt = 2,
        layers: PositiveInt = 8,
        stacks: PositiveInt = 2,
        dropout: Dropout = 0.0,
        conditional: bool = False,
        local: bool = False,
    ) -> None:
        super().__init__(shapes, conditional=conditional)
        if kernel < 2:
            raise ValueError("kernel=1 sees no past: take kernel=2 or more")
        if local and not shapes.features:
            raise ValueError("local=true needs features that are aligned with the sites, and the data has none")
        self.features = shapes.features if local else 0
        self.read = TokenReader(shapes, channels)
        dilations = [2**i for i in range(layers)] * stacks
        self.dilated = DilatedStack(channels, skip, kernel, dilations, dropout, self.given_sizes, self.features)
        self.hidden = RowsLinear(skip, skip)
        self.out = RowsLinear(skip, shapes.params)

    @property
    def receptive_field(self) -> int:
        return self.dilated.reach

    def by_example(self, output: Tensor) -> Tensor:
        return output.transpose(0, 1)  # layers are time first

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        features = as_condition(cond).features
        x = self.read(past.transpose(0, 1))  # (n, B, channels)
        if self.features and features is not None:  # (B, F, *sites), to those of the site of every token
            features = features.flatten(2).permute(2, 0, 1).repeat_interleave(self.shapes.groups, 0)  # (tokens, B, F)
        skips = self.dilated(x, cond, features if self.features else None)
        h = torch.relu(self.hidden(torch.relu(skips)))
        with uncast(h):  # rounding a logit to bfloat16 costs likelihood
            params: Tensor = self.out(h.to(self.out.weight.dtype))
        return params.transpose(0, 1)
