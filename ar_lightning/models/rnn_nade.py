r"""RNN-NADE: a recurrent network over frames, and inside each frame a NADE whose biases depend on its state.

    s_t = cell(s_{t-1}, v_{t-1}),    p(v_t | v_<t) = prod_i likelihood(b_i + B_i s_t + V_i h_{t,i})
    h_{t,i} = f(c + C s_t + sum_{j<i} W_j v_{t,j})

A frame v_t is what the channels of a site hold, such as the keys that sound at a time. Boulanger-Lewandowski, Bengio &
Vincent, "Modeling temporal dependencies in high-dimensional sequences: application to polyphonic music generation and
transcription", ICML 2012, whose cell is plain tanh units. With `frame=independent` there is no h: given the past, the
channels of a frame are independent, as those of the paper's plain RNN.

Deviations: LSTM and GRU cells; any likelihood; classes and vectors as a bias of what the cell reads; where examples
end, the end is a channel of its own, the first, which is scored. The state at the first frame is what the cell makes
of a frame of zeros. The number reported for JSB chorales, unconfirmed here, is -5.56 nats a frame, without ends:
`conf/published/rnn_nade_jsb.yaml`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.core.condition import Given
from ar_lightning.core.fields import Activation, Dropout, PositiveInt
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.nade import PrefixHidden
from ar_lightning.nn.given import given_bias
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.recurrent import Recurrent
from ar_lightning.nn.streaming import Streaming, with_past

__all__ = ["RNNNADE"]

BLOCK = 16  # channels of a frame that are computed at a time


class RNNNADE(SequenceModel):
    """Recurrent network over frames `(C, T)`, and inside a frame a NADE, for piano rolls and other joint channels.

    References:
        Boulanger-Lewandowski, Bengio & Vincent, Modeling temporal dependencies in high-dimensional sequences (2012).

    Args:
        frame: given the state, the channels of a frame are read one by one by a NADE, or are independent.
        cell: plain tanh units, GRU or LSTM.
        hidden: units of a recurrent layer.
        layers: recurrent layers.
        frame_hidden: hidden units of the NADE.
        activation: activation f of these.
        dropout: probability of dropping a unit of a state, between layers and before it is read.
        conditional: condition on the data's labels and vectors.
    """

    encoding = "one_hot"
    reads_context = True
    any_length = True
    hidden_layers = ("states.recurrent",)

    def __init__(
        self,
        shapes: Shapes,
        *,
        frame: Literal["nade", "independent"] = "nade",
        cell: Literal["rnn", "gru", "lstm"] = "lstm",
        hidden: PositiveInt = 128,
        layers: PositiveInt = 1,
        frame_hidden: PositiveInt = 128,
        activation: Activation = "sigmoid",
        dropout: Dropout = 0.0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, conditional=conditional)
        n, inputs, params = shapes.groups, shapes.token_inputs, shapes.params
        self.class_bias = given_bias(self.given_sizes, n * inputs)
        self.states = FrameStates(n, Recurrent(cell, n * inputs, hidden, layers, dropout))
        self.dropout = nn.Dropout(dropout)
        is_nade = frame == "nade"
        self.units = PrefixHidden(n, inputs, frame_hidden, params, activation, BLOCK) if is_nade else None
        self.to_units = nn.Linear(hidden, frame_hidden, bias=False) if is_nade else None  # C
        self.out = nn.Linear(hidden, n * params, bias=not is_nade)  # B, and b where no NADE has it
        nn.init.normal_(self.out.weight, std=0.02)  # the first parameters are near zero
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def scan(self, past: Tensor, cond: Given = None) -> Tensor:
        states, first = self.states(past, None if self.class_bias is None else self.class_bias(cond))
        n, size = past.shape[1], self.shapes.groups
        with uncast(states):  # rounding a logit to bfloat16 costs likelihood
            states = self.dropout(states.to(self.out.weight.dtype))
            out = self.out(states).unflatten(2, (size, -1)).flatten(1, 2)[:, first : first + n]  # (B, n, P)
            if self.units is None or self.to_units is None:
                params: Tensor = out
                return params
            biases = self.to_units(states)
        if self.units.past is None:  # whole frames, all at once
            frames = past.unflatten(1, (-1, size)).flatten(0, 1)
            inside = self.units(_without_first(frames), biases.flatten(0, 1)).reshape(out.shape)
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
        return out + inside


class FrameStates(Streaming):
    """States of recurrent layers that read whole frames, of `size` tokens each."""

    def __init__(self, size: int, recurrent: Recurrent) -> None:
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


def _without_first(frames: Tensor) -> Tensor:
    """Return frames `(B, n, E)` with zeros for the token before the first, which is of the frame before."""
    return F.pad(frames[:, 1:], (0, 0, 1, 0))
