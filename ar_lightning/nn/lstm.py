"""The LSTM layers of PixelRNN, whose states run over an image by rows or by diagonals.

    [o, f, i, g] = input-to-state(v) + state-to-state(h),    c = f c' + i g,    h = o tanh(c)

with sigmoid gates and tanh content. Gates have their channels in the groups of the colours, four gates in each.
State-to-state kernels read finished pixels only, so that they need no mask. Initial states are learned. `row_reference`
and `diagonal_reference` are the scans as one would write them; `kernels/lstm_scans.py` computes the same, faster.

References:
    van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks (2016), sections 3.1 and 3.2.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.nn.conv import CausalConv, Pointwise
from ar_lightning.nn.kernels import lstm_steps
from ar_lightning.nn.kernels.lstm_scans import diagonal_scan, row_scan
from ar_lightning.nn.precision import uncast
from ar_lightning.nn.streaming import Steps, Streaming

__all__ = ["DiagonalLSTMLayer", "RowLSTMLayer", "diagonal_reference", "row_reference"]


def row_reference(v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, kernel: int) -> Tensor:
    """Run an LSTM down the rows of `v` `(B, C, H, W)`; arguments and states `(B, h, H, W)` as of `RowScan`."""
    reach, width = kernel // 2, v.shape[3]
    h, c = (s.expand(len(v), -1, width) for s in (h0, c0))
    rows = []
    for row in v.unbind(2):  # (B, C, W)
        left, above = F.pad(row, (reach, 0)), F.pad(h, (reach, reach))
        read = [left[..., x : x + width] for x in range(reach + 1)] + [above[..., x : x + width] for x in range(kernel)]
        h, c = lstm_cell(weight @ torch.cat(read, 1) + bias, c, 1)
        rows.append(h)
    return torch.stack(rows, 2)


def diagonal_reference(v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor) -> Tensor:
    """Run an LSTM from the upper left corner of `v` `(B, C, H, W)`, pixel by pixel.

    Arguments are those of `DiagonalScan` for one of its two directions; the other one is the same on the mirrored map.
    """
    h0, c0 = (s.expand(len(v), -1, 1)[..., 0] for s in (h0, c0))  # (B, h)
    above = [h0] * v.shape[3]
    rows = []
    for row in v.unbind(2):
        h, c, states = h0, c0, []
        for x, h_above in zip(row.unbind(2), above, strict=True):
            h, c = lstm_cell(torch.cat([x, h, h_above], 1) @ weight.T + bias.T, c, 1)
            states.append(h)
        above = states
        rows.append(torch.stack(states, 2))
    return torch.stack(rows, 2)  # (B, h, H, W)


def lstm_cell(gates: Tensor, c: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return state and cell `(B, n, ...)`, given the cell before and gates `(B, 4 * n, ...)`, four in each group."""
    whole = groups == 1  # which takes half as many views
    o, f, i, g = gates.chunk(4, 1) if whole else gates.unflatten(1, (groups, 4, -1)).unbind(2)
    c = torch.sigmoid(f) * (c if whole else c.unflatten(1, (groups, -1))) + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h, c) if whole else (h.flatten(1, 2), c.flatten(1, 2))


def whole_gates(weight: Tensor, groups: int) -> Tensor:
    """Reorder weights `(4h, ...)` from `[o, f, i, g]` in each group to `[o, f, i, g]` of all groups."""
    return weight.unflatten(0, (groups, 4, -1)).transpose(0, 1).flatten(0, 2)


class RowLSTMLayer(Streaming):
    """An LSTM that runs down the rows, all columns of a row at once.

    The input-to-state kernel reads the pixel and the k // 2 to its left, the state-to-state kernel k columns of the row
    above, k odd.
    """

    def __init__(self, channels: int, hidden: int, colours: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.colours = colours
        self.kernel, reach = kernel, kernel // 2
        self.input_to_state = CausalConv(channels, 4 * hidden, left=reach, colours=colours)
        self.state_to_state = nn.Conv1d(hidden, 4 * hidden, kernel_size=kernel, padding=reach, bias=False)
        self.h0 = nn.Parameter(torch.zeros(hidden, 1))
        self.c0 = nn.Parameter(torch.zeros(hidden, 1))

    def start(self, batch: int, width: int) -> None:
        """Make the states and cells of the row above, which the current one replaces, and what is read of them."""
        assert self.past is not None
        hidden = len(self.h0) // self.colours
        h, c, above = (self.h0.new_empty(width * self.colours, batch, n) for n in (hidden, hidden, 4 * hidden))
        self.past.update(h=Steps(h), c=Steps(c), above=Steps(above))
        for name, state in (("h", self.h0), ("c", self.c0)):
            self.past[name].fill(state.expand(batch, -1, width), self.colours)

    def start_row(self) -> None:
        """Convolve the finished row at once into what the pixels of the next one read of it."""
        if self.past:
            self.past["above"].fill(self.state_to_state(self.past["h"].row(self.colours)), self.colours)

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to states `(B, hidden, h, w)`."""
        if self.past is not None:
            return self._step(self.past, self.input_to_state(v))
        inputs = whole_gates(self.input_to_state.masked_weight(), self.colours)[:, :, 0]  # (4h, channels, k // 2 + 1)
        weight = torch.cat([*inputs.unbind(2), *whole_gates(self.state_to_state.weight, self.colours).unbind(2)], 1)
        assert self.input_to_state.bias is not None
        bias = whole_gates(self.input_to_state.bias, self.colours)[:, None]
        return row_scan(v, weight, bias, self.h0, self.c0, self.kernel)

    def _step(self, past: dict[str, Any], gates: Tensor) -> Tensor:
        """Return the state of the next group of a pixel of the current row, `(B, hidden / colours)`."""
        step = self.place.step
        h, c = lstm_cell(gates + past["above"][step], past["c"][step], 1)
        past["h"].write(step, h)
        past["c"].write(step, c)
        return h


class DiagonalLSTMLayer(Streaming):
    """The Diagonal BiLSTM: two LSTMs that run down the diagonals, from the upper left and the upper right corner.

    Both read the pixel above; one reads the pixel to the left, the other the pixel to the right. The cell comes from
    the side. The second map is shifted down by a row before it is added: unshifted, it would tell a pixel what is to
    its right. The paper skews the image so that diagonals become columns; here they are read in place, unpadded.
    """

    def __init__(self, channels: int, hidden: int, colours: int = 1) -> None:
        super().__init__()
        self.colours = colours
        self.input_to_state: Any = nn.ModuleList(Pointwise(channels, 4 * hidden, colours=colours) for _ in range(2))
        self.side = nn.Parameter(torch.empty(2, hidden, 4 * hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.above = nn.Parameter(torch.empty(2, hidden, 4 * hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.h0 = nn.Parameter(torch.zeros(2, 1, 1, hidden))
        self.c0 = nn.Parameter(torch.zeros(2, 1, 1, hidden))

    def forward(self, v: Tensor) -> Tensor:
        """Map `(B, channels, h, w)` to the sum of both states, `(B, hidden, h, w)`."""
        if self.past is not None:
            return self._step(self.past, v)
        inputs = [whole_gates(i2s.masked_weight(), self.colours)[:, :, 0, 0] for i2s in self.input_to_state]
        states = [whole_gates(kernel.T, self.colours) for kernel in (*self.side, *self.above)]
        rows = [torch.cat([inputs[k], states[k], states[2 + k]], 1) for k in range(2)]  # (4h, channels + 2h) each
        biases = [whole_gates(i2s.bias, self.colours)[:, None] for i2s in self.input_to_state]
        h0, c0 = (s[:, 0].mT for s in (self.h0, self.c0))  # (2, h, 1)
        return diagonal_scan(v, torch.stack(rows), torch.stack(biases), h0, c0)

    def start(self, batch: int, width: int) -> None:
        """Make the inputs and states of a row, what the next one reads of these, and the state to the left of a pixel.

        Those of the LSTM from right to left are of the row above, which `start_row` runs it over.
        """
        assert self.past is not None
        colours, hidden, new = self.colours, self.h0.shape[3] // self.colours, self.h0.new_zeros
        names = {"v": self.input_to_state[0].weight.shape[1] // colours, "h": hidden, "above": 4 * hidden}
        self.past.update({name: Steps(new(width * colours, batch, n)) for name, n in names.items()})
        self.past.update(
            shifted=Steps(new(width * colours, batch, hidden)), back=new(batch, 4 * hidden * colours, width),
            h_side=new(batch, hidden * colours), c_side=Steps(new(colours, batch, hidden)),
            kernels=self.side[0].chunk(colours, 1),
        )  # fmt: skip

    def start_row(self) -> None:
        """Run the right-to-left LSTM over the finished row, and prepare what the next row reads of it."""
        past = self.past
        if not past:
            return
        batch, width = past["back"].shape[::2]
        h0, c0 = (s[:, 0].expand(-1, batch, -1) for s in (self.h0, self.c0))  # (2, B, h)
        if self.place.row:
            rows = [past["h"].row(self.colours)]
            rows.append(self._right_to_left(past["v"].row(self.colours), past["back"], h0[1], c0[1]))
            past["shifted"].fill(rows[1], self.colours)
        else:
            rows = [h[..., None].expand(-1, -1, width) for h in h0]
        above = [torch.einsum("bhw,hg->bgw", row, kernel) for row, kernel in zip(rows, self.above, strict=True)]
        past["back"].copy_(above[1])
        self.begin(above[0])

    def begin(self, above: Tensor) -> None:
        """Begin a row, given what its pixels read of the states above them, `(B, 4h, W)`."""
        past = self.past
        assert past is not None
        past["above"].fill(above, self.colours)
        past["h_side"].copy_(self.h0[0, 0])
        past["c_side"].fill(self.c0[0, 0].mT.expand(len(above), -1, -1), self.colours)

    @staticmethod
    def joined(layers: Sequence["DiagonalLSTMLayer"], batch: int, width: int) -> Callable[[], None]:
        return JoinedRows(layers, batch, width)

    def _right_to_left(self, v: Tensor, above: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Return the states `(B, h, W)` of a whole row, given its input and what it reads of the row above."""
        gates = self.input_to_state[1].parallel(v[:, :, None])[:, :, 0] + above  # type: ignore[operator]
        states = []
        for gate in reversed(gates.unbind(2)):
            h, c = lstm_cell(torch.addmm(gate, h, self.side[1]), c, self.colours)
            states.append(h)
        return torch.stack(states[::-1], 2)

    def _step(self, past: dict[str, Any], v: Tensor) -> Tensor:
        """Return the sum of both states at the next group of a pixel, `(B, hidden / colours)`."""
        step, group = self.place.step, self.place.group
        gates = self.input_to_state[0](v) + past["above"][step]
        h, c = lstm_cell(torch.addmm(gates, past["h_side"], past["kernels"][group]), past["c_side"][group], 1)
        past["c_side"].write(group, c)
        past["h"].write(step, h)
        past["v"].write(step, v)
        if group + 1 == self.colours:  # the pixel is finished
            past["h_side"].copy_(torch.cat([past["h"][step - k] for k in reversed(range(self.colours))], 1))
        return h + past["shifted"][step]


class JoinedRows:
    """What `start_row` does, for n layers that are alike: a product serves all of them."""

    def __init__(self, layers: Sequence[DiagonalLSTMLayer], batch: int, width: int) -> None:
        self.layers, self.colours = layers, layers[0].colours
        self.kernel = torch.stack([layer.above[0].T for layer in layers])[:, None]
        of_layers = (
            [layer.input_to_state[1].masked_weight()[:, :, 0, 0] for layer in layers],
            [layer.above[1].T for layer in layers],
            [layer.side[1].T for layer in layers],
            [layer.input_to_state[1].bias[:, None] for layer in layers],
        )
        inputs, above, side, self.bias = (torch.stack([whole_gates(w, self.colours) for w in ws]) for ws in of_layers)
        self.weights = torch.cat([inputs, above], 2), side
        h0, c0 = (torch.stack(s)[:, 1].mT for s in zip(*((m.h0[:, 0], m.c0[:, 0]) for m in layers), strict=True))
        # What the right-to-left LSTMs read at each column, the pixel and the state above; states and cells, the first
        # of them last.
        self.read = h0.new_empty(width, len(layers), inputs.shape[2] + h0.shape[1], batch)
        self.pixels, self.above = self.read.split([inputs.shape[2], h0.shape[1]], 2)
        self.above.copy_(h0)
        states, cells = (first.repeat(width + 1, 1, 1, batch) for first in (h0, -2 * c0))
        self.states = states[:-1]
        read, h, c = ([*reversed(t.unbind())] for t in (self.read, states, cells))
        self.steps = lstm_steps.Steps([(x,) for x in read], [(x,) for x in h[:-1]], c[:-1], c[1:], h[1:])

    def __call__(self) -> None:
        v, h = (torch.stack([m.past[name].row(self.colours) for m in self.layers if m.past]) for name in ("v", "h"))
        if self.layers[0].place.row:  # (n, B, C, W) both
            self.pixels.copy_(v.permute(3, 0, 2, 1))
            with uncast(v):
                lstm_steps.run(self.steps, self.weights, self.bias, keep=False)
            self.above.copy_(self.states)
            for layer, states in zip(self.layers, self.states.unbind(1), strict=True):
                layer.past["shifted"].fill(states.permute(2, 1, 0), self.colours)  # type: ignore[index]
        else:
            h = torch.stack([layer.h0[0, 0].mT.expand_as(row) for layer, row in zip(self.layers, h, strict=True)])
        for layer, above in zip(self.layers, self.kernel @ h, strict=True):
            layer.begin(above)
