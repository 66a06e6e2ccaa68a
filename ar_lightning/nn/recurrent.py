"""Recurrent layers that keep their state while streaming."""

from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Streaming

__all__ = ["Cell", "Recurrent"]

Cell = Literal["rnn", "gru", "lstm"]
CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELL_STEPS: dict[str, Any] = {"RNN_TANH": torch.rnn_tanh_cell, "GRU": torch.gru_cell, "LSTM": torch.lstm_cell}
FORGET = 1  # which quarter of an LSTM's gates is the forget gate


class Recurrent(Streaming):
    """Recurrent layers in PyTorch's fused kernels, whose state starts at zeros.

    Recurrent weights start orthogonal, a gate at a time, and forget gates open: a state is kept, and so is its
    gradient, until training finds what to forget (Gers et al., "Learning to forget", 2000; Jozefowicz et al., 2015).
    """

    def __init__(self, cell: Cell, width: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.layers = CELLS[cell](width, hidden, layers, batch_first=True, dropout=between)
        for name, p in self.layers.named_parameters():
            if name.startswith("weight"):
                initialise = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
                for gate in p.data.split(hidden):
                    initialise(gate)
            else:
                nn.init.zeros_(p)
                if cell == "lstm" and name.startswith("bias_ih"):
                    nn.init.ones_(p.data.split(hidden)[FORGET])

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, n, width)` to the last layer's `(B, n, hidden)`."""
        state = None  # zeros
        if self.past and self.compiling:
            return self._step(x[:, 0], self.past["state"])[:, None]
        if self.past:
            states = tuple(s.transpose(0, 1).contiguous() for s in self.past["state"])
            state = states if len(states) > 1 else states[0]  # as PyTorch's layers take it
        # Some processors have no LSTM in bfloat16, so that those on a CPU leave autocast.
        with uncast(x) if x.is_cpu else nullcontext():
            read, state = self.layers(x.to(self.layers.weight_ih_l0.dtype) if x.is_cpu else x, state)
        if self.past is not None:
            states = state if isinstance(state, tuple) else (state,)
            self.past["state"] = tuple(s.transpose(0, 1) for s in states)  # (B, layers, hidden): lanes first
        h: Tensor = read
        return h

    def _step(self, x: Tensor, states: tuple[Tensor, ...]) -> Tensor:
        """Read one value `(B, width)` and return the last layer's `(B, hidden)`; change the states in place.

        By cells, of which a compiler makes products; PyTorch's fused layers would arrange their weights at every step.
        """
        for layer, weights in enumerate(self.layers.all_weights):
            before = [s[:, layer] for s in states]
            after = CELL_STEPS[self.layers.mode](x, before if len(before) > 1 else before[0], *weights)
            after = after if isinstance(after, tuple) else (after,)
            for there, here in zip(before, after, strict=True):
                there.copy_(here)
            x = after[0]
        return x
