"""The LSTM layers of PixelRNN, whose states run over an image by rows or by diagonals.

    [o, f, i, g] = input-to-state(v) + state-to-state(h),    c = f c' + i g,    h = o tanh(c)

with sigmoid gates and tanh content. Input-to-state maps are computed for the whole image beforehand, so that the scan
is a tight loop. Gates have their channels in the groups of the colours, four gates in each. State-to-state kernels read
finished pixels only, so that they need no mask. Initial states are learned.

References:
    van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016), sections 3.1 and 3.2.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.nn.conv import CausalConv, Pointwise
from ar_lightning.nn.streaming import Streaming, as_row, as_steps

__all__ = ["DiagonalLSTMLayer", "RowLSTMLayer"]


def lstm_cell(gates: Tensor, c: Tensor, groups: int, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Return the new state (h, c) from the pre-activations and the cell state, whose channels are at `dim`.

    Pre-activations have 4 * n channels, four gates in each group; the states have n.
    """
    o, f, i, g = gates.unflatten(dim, (groups, 4, -1)).unbind(dim + 1)
    c = torch.sigmoid(f) * c.unflatten(dim, (groups, -1)) + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h.flatten(dim, dim + 1), c.flatten(dim, dim + 1)


class RowLSTMLayer(Streaming):
    """An LSTM that runs down the rows, all columns of a row at once.

    The input-to-state kernel of 3 is masked along the row (the pixel and its left neighbour); the state-to-state kernel
    of 3 reads the row above.

    Args:
        channels: channels of the input map.
        hidden: channels of the state.
        colours: number of groups of channels.
    """

    def __init__(self, channels: int, hidden: int, colours: int = 1) -> None:
        super().__init__()
        self.colours = colours
        self.input_to_state = CausalConv(channels, 4 * hidden, left=1, colours=colours)
        self.state_to_state = nn.Conv1d(hidden, 4 * hidden, kernel_size=3, padding=1, bias=False)
        self.h0 = nn.Parameter(torch.zeros(hidden, 1))
        self.c0 = nn.Parameter(torch.zeros(hidden, 1))

    def start_row(self, batch: int, width: int) -> None:
        """Turn the finished row into what the next one reads of it: one convolution for the whole row."""
        if self.past is None:
            return
        if "h" in self.past:
            h, c = as_row(self.past["h"], self.colours), self.past["c"]
        else:
            h = self.h0.expand(batch, -1, width)
            c = as_steps(self.c0.expand(batch, -1, width), self.colours)
        self.past.update(above=as_steps(self.state_to_state(h), self.colours), c_above=c, h=[], c=[])

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to states `(B, hidden, h, w)`."""
        gates = self.input_to_state(v)
        if self.past is not None:
            return self._step(self.past, gates)
        h, c = (s.expand(len(v), -1, v.shape[3]) for s in (self.h0, self.c0))
        rows = []
        for row in gates.unbind(2):
            h, c = lstm_cell(row + self.state_to_state(h), c, self.colours)
            rows.append(h)
        return torch.stack(rows, 2)

    def _step(self, past: dict[str, Any], gates: Tensor) -> Tensor:
        """The state of the next group of a pixel of the current row, `(B, hidden / colours)`."""
        n = len(past["h"])
        h, c = lstm_cell(gates + past["above"][n], past["c_above"][n], 1)
        past["h"].append(h)
        past["c"].append(c)
        return h


class DiagonalLSTMLayer(Streaming):
    """Two LSTMs that run down the diagonals, from the upper left and the upper right corner: the Diagonal BiLSTM.

    Both read the pixel above; the one reads the pixel to the left, the other the one to the right. The cell state comes
    from the side. The second map is shifted down by a row before it is added: unshifted, it would tell a pixel what is
    to its right.

    The paper skews the image so that diagonals become columns; here the pixels are sorted by diagonal, which is the
    same without the padding. Both directions are one batched matrix product a diagonal.

    Args:
        channels: channels of the input map.
        hidden: channels of the state.
        colours: number of groups of channels.
    """

    def __init__(self, channels: int, hidden: int, colours: int = 1) -> None:
        super().__init__()
        self.colours = colours
        self.input_to_state = nn.ModuleList(Pointwise(channels, 4 * hidden, colours=colours) for _ in range(2))
        self.side = nn.Parameter(torch.empty(2, hidden, 4 * hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.above = nn.Parameter(torch.empty(2, hidden, 4 * hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.h0 = nn.Parameter(torch.zeros(2, 1, 1, hidden))
        self.c0 = nn.Parameter(torch.zeros(2, 1, 1, hidden))

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to the sum of both states, `(B, hidden, h, w)`."""
        if self.past is not None:
            return self._step(self.past, v)
        H, W = v.shape[2:]
        sizes, to_diagonals, to_pixels = diagonals(H, W, v.device)
        there, back = (i2s(x) for i2s, x in zip(self.input_to_state, (v, v.flip(3)), strict=True))
        gates = torch.stack([there, back]).flatten(3).permute(0, 3, 1, 2)  # (2, H * W, B, 4h)
        states = self._scan(gates[:, to_diagonals].split(sizes, 1), H)[:, to_pixels]  # (2, H * W, B, h)
        there, back = states.permute(0, 2, 3, 1).unflatten(3, (H, W))
        return there + F.pad(back.flip(3)[:, :, :-1], (0, 0, 1, 0))

    def _scan(self, gates: tuple[Tensor, ...], height: int) -> Tensor:
        """Run over the diagonals, given the gates (2, n, B, 4h) of the n pixels on each; returns (2, H * W, B, h)."""
        batch = gates[0].shape[2]
        kernel = torch.cat([self.side, self.above], 1)  # (2, 2h, 4h)
        h0, c0 = (s.expand(-1, -1, batch, -1) for s in (self.h0, self.c0))
        h, c = h0[:, :0], c0[:, :0]
        states = []
        for d, gate in enumerate(gates):
            n = gate.shape[1]
            # Row i of the diagonal reads row i of the last one beside it, and row i - 1 above it. Before the first
            # column and above the first row is the initial state.
            below = [h0] if d < height else []
            h = torch.cat([h0, h, *below] if h.shape[1] + len(below) == n else [h, *below], 1)
            c = torch.cat([c, c0], 1)[:, -n:] if below else c[:, -n:]
            around = torch.cat([h[:, 1:], h[:, :-1]], 3)  # (2, n, B, 2h)
            gate = torch.baddbmm(gate.flatten(1, 2), around.flatten(1, 2), kernel).unflatten(1, (n, batch))
            h, c = lstm_cell(gate, c, self.colours, dim=3)
            states.append(h)
        return torch.cat(states, 1)

    def start_row(self, batch: int, width: int) -> None:
        """Run the right-to-left LSTM over the finished row, and prepare what the next row reads of the one above."""
        past = self.past
        if past is None:
            return
        h0, c0 = (s[:, 0].expand(-1, batch, -1) for s in (self.h0, self.c0))  # (2, B, h)
        if "h" in past:
            v, rows = as_row(past["v"], self.colours), [as_row(past["h"], self.colours)]
            rows.append(self._right_to_left(v, past["back"], h0[1], c0[1]))
            past["shifted"] = as_steps(rows[1], self.colours)
        else:
            rows = [h[..., None].expand(-1, -1, width) for h in h0]
            past["shifted"] = as_steps(torch.zeros_like(rows[0]), self.colours)
        above = [torch.einsum("bhw,hg->bgw", row, kernel) for row, kernel in zip(rows, self.above, strict=True)]
        past.update(above=as_steps(above[0], self.colours), back=above[1], h=[], v=[])
        past.update(
            h_side=h0[0], c_side=list(c0[0].chunk(self.colours, 1)), kernels=self.side[0].chunk(self.colours, 1)
        )

    def _right_to_left(self, v: Tensor, above: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Return the states (B, h, W) of a whole row, given its input and what it reads of the row above."""
        gates = self.input_to_state[1].parallel(v[:, :, None])[:, :, 0] + above  # type: ignore[operator]
        states = []
        for gate in reversed(gates.unbind(2)):
            h, c = lstm_cell(torch.addmm(gate, h, self.side[1]), c, self.colours)
            states.append(h)
        return torch.stack(states[::-1], 2)

    def _step(self, past: dict[str, Any], v: Tensor) -> Tensor:
        """The sum of both states at the next group of a pixel, `(B, hidden / colours)`."""
        n, k = len(past["h"]), len(past["h"]) % self.colours
        gates = self.input_to_state[0](v) + past["above"][n]
        if k == 0 and n:
            past["h_side"] = torch.cat(past["h"][n - self.colours :], 1)
        h, c = lstm_cell(torch.addmm(gates, past["h_side"], past["kernels"][k]), past["c_side"][k], 1)
        past["c_side"][k] = c
        past["h"].append(h)
        past["v"].append(v)
        return h + past["shifted"][n]


@lru_cache(maxsize=8)
def diagonals(height: int, width: int, device: torch.device) -> tuple[list[int], Tensor, Tensor]:
    """Return the lengths of the diagonals i + j = d, the pixels sorted by diagonal, and the inverse of that order."""
    d = (torch.arange(height, device=device)[:, None] + torch.arange(width, device=device)).flatten()
    order = d.argsort(stable=True)
    return d.bincount().tolist(), order, order.argsort()
