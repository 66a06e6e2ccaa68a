"""Recurrent layers that keep their state: while streaming, and from one window of a long stream to the next."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.streaming import Streaming

__all__ = ["Cell", "Memory", "Recurrent", "carried"]

Cell = Literal["rnn", "gru", "lstm"]
CELLS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
FORGET = 1  # which quarter of an LSTM's gates is the forget gate

Memory = dict[str, dict[str, Any]]  # what each module that remembers has read, by its name; tensors have lanes first


class Recurrent(Streaming):
    """Recurrent layers in PyTorch's fused kernels, whose state starts at zeros.

    Recurrent weights start orthogonal, a gate at a time, and forget gates open: a state is kept, and so is its
    gradient, until training finds what to forget (Gers et al., "Learning to forget", 2000; Jozefowicz et al., 2015).

    Args:
        cell: kind of layer.
        width: features of an input.
        hidden: units of a layer.
        layers: number of layers.
        dropout: probability of dropping a unit between two layers.
    """

    def __init__(self, cell: Cell, width: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.layers = CELLS[cell](width, hidden, layers, batch_first=True, dropout=between)
        for name, p in self.layers.named_parameters():
            if name.startswith("weight_hh"):
                for gate in p.data.split(hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                for gate in p.data.split(hidden):
                    nn.init.xavier_uniform_(gate)
            else:
                nn.init.zeros_(p)
                if cell == "lstm" and name.startswith("bias_ih"):
                    nn.init.ones_(p.data.split(hidden)[FORGET])

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, n, width)` to the last layer's `(B, n, hidden)`."""
        read, state = self.layers(x, self._state())
        if self.past is not None:
            states = state if isinstance(state, tuple) else (state,)
            self.past["state"] = tuple(s.transpose(0, 1) for s in states)  # (B, layers, hidden): lanes first
        h: Tensor = read
        return h

    def _state(self) -> Any:
        """Return what PyTorch's layers take: None for zeros."""
        if not self.past:
            return None
        states = tuple(s.transpose(0, 1).contiguous() for s in self.past["state"])
        return states if len(states) > 1 else states[0]


@contextmanager
def carried(model: SequenceModel, memory: Memory, lanes: int) -> Iterator[None]:
    """Let a model read on where `memory` ends, and keep there where it ends itself, without gradients.

    Truncated backpropagation through time: the forward pass goes on over windows of a stream, the backward pass ends at
    the start of each (Williams & Peng, 1990). What precedes the first token is the last one of the window before.

    Args:
        model: one that `carries`.
        memory: of the windows before, empty at the start of a stream; changed in place.
        lanes: the first of those remembered that go on; a lane that ended is forgotten.
    """
    modules: dict[str, Any] = {n: m for n, m in model.named_modules() if isinstance(m, Streaming)}
    for past in memory.values():
        past.update({key: _mapped(value, lambda t: t[:lanes]) for key, value in past.items()})
    try:
        model.before = memory.setdefault("before", {})
        for name, m in modules.items():
            m.past = memory.setdefault(f"modules.{name}", {})
        yield
    finally:
        model.before = None
        for m in modules.values():
            m.past = None
    for past in memory.values():
        past.update({key: _mapped(value, torch.Tensor.detach) for key, value in past.items()})


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(change(t) for t in value)
    return change(value) if isinstance(value, Tensor) else value
