"""The scans of PixelRNN's LSTMs over rows and diagonals, with backward passes of their own.

States and cells lie in blocks of columns, a block a step. The initial ones lie at the ends of each, so that a step
reads windows of the block before it. Maps are kept channels first and the images of a batch last, so that a row or a
diagonal of all images is a matrix. All is computed in float32 or better, also under autocast.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.nn.kernels.lstm_steps import Steps, run, run_back
from ar_lightning.nn.precision import uncast

__all__ = ["DiagonalScan", "RowScan", "diagonal_scan", "row_scan"]


def precise(t: Tensor) -> torch.dtype:
    """Return the more precise of float32 and the type of the tensor."""
    return torch.promote_types(t.dtype, torch.float32)


class RowScan(torch.autograd.Function):
    """An LSTM down the rows, all images and columns at once.

    With a kernel of k, a step reads of the input the pixel and the k // 2 to its left, and of the row above the states
    of k pixels; beside the image it reads zeros.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, kernel: int, keep: bool = True
    ) -> Tensor:
        """Return states `(B, h, H, W)`.

        Args:
            v: input maps `(B, C, H, W)`.
            weight: W `(4h, (k // 2 + 1) C + k h)`: from the pixels of the input, then from the states; left first.
            bias: b `(4h, 1)`.
            h0: initial state `(h, 1)`, the same for all columns.
            c0: initial cell `(h, 1)`.
            kernel: k, odd.
            keep: save what the backward pass needs.
        """
        (batch, _, H, W), h, dtype, reach = v.shape, len(h0), precise(v), kernel // 2
        x = v.to(dtype).permute(1, 2, 3, 0).contiguous()
        states, cells = x.new_zeros(h, H + 1, W + 2 * reach, batch), x.new_empty(h, H + 1, W, batch)
        states[:, 0, reach : reach + W], cells[:, 0] = h0[..., None], -2 * c0[..., None]
        steps = RowScan.steps(x, states, cells, kernel)
        with uncast(v):
            kept = run(steps, row_parts(weight.to(dtype), len(x), kernel), bias.to(dtype), keep)
        ctx.save_for_backward(weight, x, states, cells, *kept)
        ctx.dtype, ctx.kernel = v.dtype, kernel
        return states[:, 1:, reach : reach + W].contiguous().permute(3, 0, 1, 2).to(v.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, x, states, cells, *kept = ctx.saved_tensors
        dx, dstates, dcells = (torch.zeros_like(t) for t in (x, states, cells))
        steps = RowScan.steps(x, states, cells, ctx.kernel)
        gradients = RowScan.steps(dx, dstates, dcells, ctx.kernel)
        inside = slice(ctx.kernel // 2, ctx.kernel // 2 + x.shape[2])
        dstates[:, 1:, inside] = grad.permute(1, 2, 3, 0)
        with uncast(x):
            parts, dbias = run_back(steps, gradients, row_parts(weight.to(x.dtype), len(x), ctx.kernel), kept)
        *inputs, recurrent = parts
        dweight = torch.cat([*reversed(inputs), recurrent], 1)
        dh, dc = (t.sum((1, 2))[:, None] for t in (dstates[:, 0, inside], dcells[:, 0]))
        dv = dx.permute(3, 0, 1, 2).to(ctx.dtype)
        return dv, *(t.to(weight.dtype) for t in (dweight, dbias, dh, -dc)), None, None

    @staticmethod
    def steps(x: Tensor, states: Tensor, cells: Tensor, kernel: int) -> Steps:
        """View the rows of x `(C, H, W, B)`, states `(h, H + 1, W + 2 (k // 2), B)` and cells `(h, H + 1, W, B)`.

        Of the input, the pixel itself comes first, then those to its left.
        """
        width, batch = x.shape[2:]
        rows, above = x.flatten(2), states.flatten(2)
        left = [rows[..., : max(0, width - k) * batch].unbind(1) for k in range(kernel // 2 + 1)]
        beside = [above[..., k * batch : (k + width) * batch].unbind(1) for k in range(kernel)]
        cell = cells.flatten(2).unbind(1)
        read = list(zip(*(taps[:-1] for taps in beside), strict=True))
        return Steps(list(zip(*left, strict=True)), read, cell[:-1], cell[1:], beside[kernel // 2][1:])


def row_parts(weight: Tensor, channels: int, kernel: int) -> list[Tensor]:
    """Split W of a `RowScan` into parts for each input, that of the pixel itself first, and for all states."""
    inputs = (kernel // 2 + 1) * channels
    return [*reversed(weight[:, :inputs].split(channels, 1)), weight[:, inputs:]]


class Diagonals(NamedTuple):
    """Where the pixels of an image lie when its diagonals, each from the top, lie one after another.

    States lie in blocks, a diagonal each, with an initial one at both ends. Before the first there are two of these.
    What has two rows is of the image and of its mirror image. Pixels are numbered row by row.

    Args:
        sizes: pixels of each diagonal.
        own: the column of the state of its first pixel.
        beside: the column of the state beside that pixel; that of the state above is one less.
        order: the pixels `(2, H W)` one after another.
        place: at which of these each pixel of the image is `(2, H W)`.
        column: the column of its state `(2, H W)`.
        source: the pixel of the map that a column is added to `(2, columns)`, H W for none: the mirror image's is
            shifted down.
        ends: the columns of initial states.
    """

    sizes: list[int]
    own: list[int]
    beside: list[int]
    order: Tensor
    place: Tensor
    column: Tensor
    source: Tensor
    ends: Tensor


@lru_cache(maxsize=8)
def diagonals(H: int, W: int, device: torch.device) -> Diagonals:
    """List the diagonals i + j = d of an image."""
    rows = [range(max(0, d - W + 1), min(d, H - 1) + 1) for d in range(H + W - 1)]
    own, beside = [], []
    column, before = 1, range(0)  # where the states of the diagonal before start, and its rows
    for row in rows:
        beside.append(column + row.start - before.start)
        column += len(before) + 2
        own.append(column)
        before = row
    pixels = [(i, d - i) for d, row in enumerate(rows) for i in row]
    order = torch.tensor([[i * W + j for i, j in pixels], [i * W + W - 1 - j for i, j in pixels]])
    columns = torch.tensor([start + k for start, row in zip(own, rows, strict=True) for k in range(len(row))])
    place = order.argsort(1)
    source = torch.full((2, own[-1] + len(rows[-1]) + 1), H * W)
    source[0, columns], source[1, columns] = order[0], (order[1] + W).clamp(max=H * W)
    ends = (source[0] == H * W).nonzero()[:, 0]
    tables = (t.to(device) for t in (order, place, columns[place], source, ends))
    return Diagonals([len(row) for row in rows], own, beside, *tables)


def windows(maps: Tensor, starts: Iterable[int], sizes: Iterable[int]) -> Sequence[Tensor]:
    """View columns of `(..., N)`: windows in order, that do not overlap."""
    cuts, end = [], 0
    for start, size in zip(starts, sizes, strict=True):
        cuts += [start - end, size]
        end = start + size
    return maps.split([*cuts, maps.shape[-1] - end], -1)[1::2]


class DiagonalScan(torch.autograd.Function):
    """Two LSTMs down the diagonals, from the upper left and, on the mirrored map, from the upper right corner.

    A step reads the pixel of the input and the states of the pixels beside and above, one diagonal before. The second
    map is shifted down by a row before it is added to the first.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, keep: bool = True
    ) -> Tensor:
        """Return the sum of the states of both LSTMs `(B, h, H, W)`.

        Args:
            v: input maps `(B, C, H, W)`.
            weight: W `(2, 4h, C + 2h)`: from the pixel, then from the states beside and above.
            bias: b `(2, 4h, 1)`.
            h0: initial states `(2, h, 1)`, to the left of the first column and above the first row.
            c0: initial cells `(2, h, 1)`.
            keep: save what the backward pass needs.
        """
        (batch, C, H, W), h, dtype, at = v.shape, h0.shape[1], precise(v), diagonals(*v.shape[2:], v.device)
        x = in_both(v.to(dtype).permute(1, 2, 3, 0).flatten(1, 2), at.order)
        size = at.source.shape[1], batch
        states = h0.to(dtype)[..., None].expand(-1, -1, *size).contiguous()
        cells = (-2 * c0.to(dtype)[..., None]).expand(-1, -1, *size).contiguous()
        steps = DiagonalScan.steps(at, x, states, cells)
        with uncast(v):
            kept = run(steps, weight.to(dtype).split([C, 2 * h], 2), bias.to(dtype), keep)
        ctx.save_for_backward(weight, x, states, cells, *kept)
        ctx.shape, ctx.dtype = v.shape, v.dtype
        there, back = (s.index_select(1, column) for s, column in zip(states, at.column, strict=True))
        there[:, W:] += back[:, :-W]
        return there.unflatten(1, (H, W)).permute(3, 0, 1, 2).to(v.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, x, states, cells, *kept = ctx.saved_tensors
        (_, C, H, W), h, at = ctx.shape, states.shape[1], diagonals(*ctx.shape[2:], grad.device)
        dx, dcells = torch.zeros_like(x), torch.zeros_like(cells)
        own = F.pad(grad.to(x.dtype).permute(1, 2, 3, 0).flatten(1, 2), (0, 0, 0, 1))  # zeros come last
        dstates = in_both(own, at.source)
        steps, gradients = DiagonalScan.steps(at, x, states, cells), DiagonalScan.steps(at, dx, dstates, dcells)
        with uncast(x):
            parts, dbias = run_back(steps, gradients, weight.to(x.dtype).split([C, 2 * h], 2), kept)
        there, back = (d.index_select(1, place) for d, place in zip(dx, at.place, strict=True))
        dv = (there + back).unflatten(1, (H, W)).permute(3, 0, 1, 2).to(ctx.dtype)
        dh, dc = (d.index_select(2, at.ends).sum((2, 3))[..., None] for d in (dstates, dcells))
        return dv, *(t.to(weight.dtype) for t in (torch.cat(parts, 2), dbias, dh, -dc)), None

    @staticmethod
    def steps(at: Diagonals, x: Tensor, states: Tensor, cells: Tensor) -> Steps:
        """View the diagonals of x `(2, C, H W, B)`, and those of states and cells in blocks `(2, h, columns, B)`."""
        batch = x.shape[3]
        sizes = [n * batch for n in at.sizes]
        beside, own = ([batch * start for start in starts] for starts in (at.beside, at.own))
        above = [start - batch for start in beside]
        h, c = states.flatten(2), cells.flatten(2)
        reads = list(zip(windows(h, beside, sizes), windows(h, above, sizes), strict=True))
        inputs = list(zip(x.flatten(2).split(sizes, 2), strict=True))
        return Steps(inputs, reads, windows(c, beside, sizes), windows(c, own, sizes), windows(h, own, sizes))


def in_both(maps: Tensor, places: Tensor) -> Tensor:
    """Return pixels of maps `(C, n, B)` in two orders, of `places` `(2, m)`: `(2, C, m, B)`."""
    out = maps.new_empty(2, len(maps), places.shape[1], maps.shape[2])
    for part, place in zip(out, places, strict=True):
        torch.index_select(maps, 1, place, out=part)
    return out


@torch.compiler.disable
def row_scan(v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, kernel: int) -> Tensor:
    """Apply `RowScan`; without gradients, nothing is kept for the backward pass."""
    states: Tensor = RowScan.apply(v, weight, bias, h0, c0, kernel, torch.is_grad_enabled())
    return states


@torch.compiler.disable
def diagonal_scan(v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor) -> Tensor:
    """Apply `DiagonalScan`; without gradients, nothing is kept for the backward pass."""
    states: Tensor = DiagonalScan.apply(v, weight, bias, h0, c0, torch.is_grad_enabled())
    return states
