"""The Row LSTM layer: an LSTM that runs down the rows of an image, all columns of a row at once.

    [o, f, i, g] = input-to-state(v_y) + K * h_{y-1},    c_y = f c_{y-1} + i g,    h_y = o tanh(c_y)

with sigmoid gates and tanh content. The input-to-state convolution is masked along the row (the pixel and its left
neighbour, mask B of the paper's kernel of 3); K is an unmasked kernel of 3 over the row above, whose every pixel is
in the past.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.nn.conv import ColumnConv
from ar_lightning.nn.streaming import Streaming

__all__ = ["RowLSTMLayer"]


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the new state (h, c) from pre-activations (B, 4 * hidden, ...) and the cell state (B, hidden, ...)."""
    o, f, i, g = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class RowLSTMLayer(Streaming):
    """One Row LSTM, with learned initial states.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016), section 3.1.

    Args:
        channels: channels of the input map.
        hidden: channels of the state.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.input_to_state = ColumnConv(channels, 4 * hidden, width=2)
        self.state_to_state = nn.Conv1d(hidden, 4 * hidden, kernel_size=3, padding=1, bias=False)
        self.h0 = nn.Parameter(torch.zeros(hidden, 1))
        self.c0 = nn.Parameter(torch.zeros(hidden, 1))

    def start_row(self, batch: int, width: int) -> None:
        """Turn the finished row into what the next one reads of it: one convolution for the whole row."""
        if self.past is None:
            return
        if "h" in self.past:
            h, c = torch.stack(self.past["h"], 2), self.past["c"]
        else:
            h, c = self.h0.expand(batch, -1, width), [self.c0[:, 0]] * width
        self.past.update(above=self.state_to_state(h).unbind(2), c_above=c, h=[], c=[])

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to states `(B, hidden, h, w)`."""
        gates = self.input_to_state(v)
        if self.past is not None:
            return self._pixel(gates[:, :, 0, 0])[..., None, None]
        h, c = (s.expand(len(v), -1, v.shape[3]) for s in (self.h0, self.c0))
        rows = []
        for row in gates.unbind(2):
            h, c = lstm_cell(row + self.state_to_state(h), c)
            rows.append(h)
        return torch.stack(rows, 2)

    def _pixel(self, gates: Tensor) -> Tensor:
        """The state at the next pixel of the current row, `(B, hidden)`."""
        past: dict[str, Any] = self.past or {}
        x = len(past["h"])
        h, c = lstm_cell(gates + past["above"][x], past["c_above"][x])
        past["h"].append(h)
        past["c"].append(c)
        return h
