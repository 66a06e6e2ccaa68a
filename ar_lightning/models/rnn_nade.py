r"""RNN-NADE: a recurrent network over frames, and inside each frame a NADE whose biases depend on its state.

    s_t = cell(s_{t-1}, v_{t-1}),    p(v_t | v_<t) = prod_i likelihood(b_i + B_i s_t + V_i h_{t,i})
    h_{t,i} = f(c + C s_t + sum_{j<i} W_j v_{t,j})

A frame v_t is what the channels of a site hold, such as the keys that sound at a time. Boulanger-Lewandowski, Bengio &
Vincent, "Modeling temporal dependencies in high-dimensional sequences: application to polyphonic music generation and
transcription", ICML 2012, whose cell is plain tanh units. With `frame=independent` there is no h: given the past, the
channels of a frame are independent, as those of the paper's plain RNN.

With `frame=made` a MADE is inside a frame (Germain et al., 2015), all of whose units have a bias that depends on the
state, and which reads the channels directly too: deeper than a NADE, and computed in one pass.

Deviations: LSTM and GRU cells, and a transformer over frames in their place, which reads all earlier ones (Vaswani et
al., 2017; see `transformer`); any likelihood; classes and vectors as a bias of what the cell reads; where examples end,
the end is a channel of its own, the first, which is scored. The state at the first frame is what the cell makes of a
frame of zeros. The number reported for JSB chorales, unconfirmed here, is -5.56 nats a frame, without ends:
`conf/published/rnn_nade_jsb.yaml`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Condition, Given
from ar_lightning.core.fields import Activation, Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.nade import PrefixHidden
from ar_lightning.models.transformer import EMBEDDED, SEQUENCE_BASE, Layer, initialise, norm_of
from ar_lightning.nn.given import GivenSizes, given_bias
from ar_lightning.nn.masked import MaskedMLP, spread_degrees
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.recurrent import Recurrent
from ar_lightning.nn.rotary import for_heads, turns
from ar_lightning.nn.streaming import Streaming, with_past

__all__ = ["RNNNADE"]

BLOCK = 16  # channels of a frame that are computed at a time


class RNNNADE(SequenceModel):
    """Network over frames `(C, T)`, and inside a frame a NADE or a MADE, for piano rolls and other joint channels.

    References:
        Boulanger-Lewandowski, Bengio & Vincent, Modeling temporal dependencies in high-dimensional sequences (2012).

    Args:
        frame: given the state, the channels of a frame are those of a NADE or of a MADE, or are independent.
        cell: plain tanh units, GRU or LSTM; or a transformer, whose state is what it makes of all frames before.
        hidden: units of a recurrent layer, or features of a transformer.
        layers: recurrent layers, or those of a transformer.
        heads: attention heads of a transformer; divides hidden.
        frame_hidden: hidden units of the NADE, or of each layer of the MADE.
        frame_layers: hidden layers of the MADE; a NADE has one.
        activation: activation f of these.
        dropout: probability of dropping a unit of a state, between layers and before it is read.
        conditional: condition on the data's labels and vectors.

    Raises:
        ValueError: more than one layer of a NADE, or the heads do not divide the features.
    """

    encoding = "one_hot"
    reads_context = True
    any_length = True
    hidden_layers = ("states.recurrent",)

    def __init__(
        self,
        shapes: Shapes,
        *,
        frame: Literal["nade", "made", "independent"] = "nade",
        cell: Literal["rnn", "gru", "lstm", "transformer"] = "lstm",
        hidden: PositiveInt = 128,
        layers: PositiveInt = 1,
        heads: PositiveInt = 4,
        frame_hidden: PositiveInt = 128,
        frame_layers: PositiveInt = 1,
        activation: Activation = "sigmoid",
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, conditional=conditional)
        if frame_layers > 1 and frame != "made":
            raise ValueError(f"frame_layers={frame_layers} are those of a MADE: set frame=made")
        n, inputs, params = shapes.groups, shapes.token_inputs, shapes.params
        self.class_bias = given_bias(self.given_sizes, n * inputs)
        over_time = (
            FrameTransformer(n * inputs, hidden, layers, heads, shapes.sites, dropout)
            if cell == "transformer"
            else Recurrent(cell, n * inputs, hidden, layers, dropout)
        )
        self.states = FrameStates(n, over_time)
        self.dropout = nn.Dropout(dropout)
        self.units: PrefixHidden | FrameMADE | None = None
        self.to_units = self.out = None
        if frame == "made":
            self.units = FrameMADE(n, inputs, hidden, [frame_hidden] * frame_layers, params, activation)
            return
        if frame == "nade":
            self.units = PrefixHidden(n, inputs, frame_hidden, params, activation, BLOCK)
            self.to_units = nn.Linear(hidden, frame_hidden, bias=False)  # C
        self.out = nn.Linear(hidden, n * params, bias=frame == "independent")  # B, and b where no NADE has it
        nn.init.normal_(self.out.weight, std=0.02)  # the first parameters are near zero
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        states, first = self.states(past, None if self.class_bias is None else self.class_bias(cond))
        n, size = past.shape[1], self.shapes.groups
        with uncast(states):  # rounding a logit to bfloat16 costs likelihood
            states = self.dropout(states.to(next(self.parameters()).dtype))
            out = None
            if self.out is not None:
                out = self.out(states).unflatten(2, (size, -1)).flatten(1, 2)[:, first : first + n]  # (B, n, P)
            biases = states if self.to_units is None else self.to_units(states)
        if self.units is None:
            assert out is not None
            return out
        if self.units.past is None:  # whole frames, all at once
            frames = past.unflatten(1, (-1, size)).flatten(0, 1)
            inside = self.units(_without_first(frames), biases.flatten(0, 1)).reshape(len(past), n, -1)
        else:
            parts, start = [], first
            for bias in biases.unbind(1):
                part, past = past.tensor_split([size - start], 1)
                if not start:  # a frame begins
                    self.units.past = {}
                    part = _without_first(part)
                parts.append(self.units(part, bias))
                start = 0
            inside = torch.cat(parts, 1)
        return inside if out is None else out + inside


class FrameStates(Streaming):
    """States of a causal network that reads whole frames, of `size` tokens each."""

    def __init__(self, size: int, recurrent: "Recurrent | FrameTransformer") -> None:
        super().__init__()
        self.size = size
        self.recurrent = recurrent

    def forward(self, past: Tensor, bias: Tensor | None = None) -> tuple[Tensor, int]:
        """Return the states `(B, k, hidden)` of the frames of the next n tokens, and the place of the first in its own.

        `past` `(B, n, E)` are the tokens before each; `bias` `(B, size * E)` is added to all frames that are read.
        """
        n = past.shape[1]
        first = self.advance(n) % self.size
        window = with_past(self.past, past, 1, self.size)  # from size + 1 tokens before the first of these
        new = -first % self.size  # tokens of a frame whose state is known
        frames = window[:, new + 1 :][:, : max(0, -(-(n - new) // self.size)) * self.size]
        states = [self.past["state"]] if self.past and first else []
        if frames.shape[1]:
            read = frames.unflatten(1, (-1, self.size)).flatten(2)
            states.append(self.recurrent(read if bias is None else read + bias[:, None]))
        joined = torch.cat(states, 1)
        if self.past is not None:
            self.past["state"] = joined[:, -1:]
        return joined, first


class FrameTransformer(Streaming):
    """Transformer over at most so many frames of `inputs` each: what it says of a frame depends on all up to it."""

    turns: Tensor

    def __init__(self, inputs: int, width: int, layers: int, heads: int, frames: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(Layer(width, heads, frames, "gelu", dropout) for _ in range(layers))
        self.norm = norm_of("rms", width)
        initialise(self, layers)
        nn.init.normal_(self.read.weight, std=EMBEDDED)
        places = torch.arange(frames, dtype=torch.float64)[:, None]
        self.register_buffer("turns", turns(places, width // heads, SEQUENCE_BASE).float(), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames `(B, n, inputs)` to `(B, n, width)`; while streaming, the next n of them."""
        n = frames.shape[1]
        start = self.advance(n)
        turned = for_heads(self.turns[start : start + n, None, None], self.heads)  # queries and keys alike
        h = self.read(frames)
        for layer in self.layers:
            h = layer(h, turned)
        normed: Tensor = self.norm(h)
        return normed


class FrameMADE(Streaming):
    """MADE over the `dims` tokens of a frame, which `state` numbers are given with: they add to the bias of all units.

    The tokens are directly connected to the outputs too, so that few hidden units leave none unseen.
    """

    degrees: Tensor

    def __init__(
        self, dims: int, inputs: int, state: int, hidden: list[int], params: int, activation: Activation
    ) -> None:
        super().__init__()
        tokens = torch.arange(dims)
        self.widths = [dims * inputs, *hidden, dims * params]
        of_inputs, of_outputs = tokens.repeat_interleave(inputs), tokens.repeat_interleave(params) - 1
        degrees = [of_inputs, *(spread_degrees(units, dims) for units in hidden), of_outputs]
        self.register_buffer("degrees", torch.cat(degrees), persistent=False)
        self.mlp = MaskedMLP(self.widths, activation, True, GivenSizes(context=state), degrees)
        self.mlp.class_biases[-1].initialise(0.02)  # the first parameters are near zero

    def forward(self, past: Tensor, state: Tensor) -> Tensor:
        """Map the token before each of n of a frame `(B, n, E)`, and its state `(B, state)`, to outputs `(B, n, P)`."""
        n, given = past.shape[1], Condition(context=state)
        start = self.advance(n)
        if self.past is None:
            known = F.pad(past[:, 1:], (0, 0, 0, 1)).flatten(1)  # the last token is read by none
            out: Tensor = self.mlp(known, None, given).unflatten(1, (n, -1))
            return out
        if not start:
            self.mlp.past = {}
            self.mlp.begin(list(self.degrees.split(self.widths)), len(past), given)
        return torch.stack([self.mlp.read(token) for token in past.unbind(1)], 1)


def _without_first(frames: Tensor) -> Tensor:
    """Return frames `(B, n, E)` with zeros for the token before the first, which is of the frame before."""
    return F.pad(frames[:, 1:], (0, 0, 1, 0))
