"""The scans of PixelRNN's LSTMs over rows and diagonals, with backward passes of their own.

    [o, f, i, g] = W [v, h_1, h_2, ...] + b,    c = f c' + i g,    h = o tanh(c)

What a step reads, of the input v and of the states of earlier steps, is put side by side, so that a step is one matrix
product and a few passes over memory that the cache still holds; the backward pass takes the same steps back and makes
the gradient of W on its way. Maps are kept channels first, the pixels of a step of all images after one another. As
tanh(a) = 2 sigmoid(2a) - 1, one sigmoid gives all gates. All is computed in float32 or better, also under autocast.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["DiagonalScan", "RowScan"]


def precise(t: Tensor) -> torch.dtype:
    """Return float32, or the tensor's type where that is more."""
    return torch.promote_types(t.dtype, torch.float32)


def doubled(weight: Tensor, h: int) -> Tensor:
    """Return weights `(..., 4h, n)` with the rows of g doubled."""
    return torch.cat([weight[..., : 3 * h, :], 2 * weight[..., 3 * h :, :]], -2)


def cell_(a: Tensor, c: Tensor, out: Tensor, tanh: Tensor) -> None:
    """Turn pre-activations `(..., 4h, n)`, those of g doubled, into gates in place; write the new cell and its tanh."""
    _, f, i, g = a.sigmoid_().chunk(4, -2)
    torch.mul(f, c, out=out)
    out.addcmul_(i, g, value=2).sub_(i)  # i (2 g - 1)
    torch.mul(out, 2, out=tanh).sigmoid_().mul_(2).sub_(1)


def cell_backward_(gates: Tensor, c: Tensor, tanh: Tensor, dh: Tensor, dc: Tensor, out: Tensor) -> None:
    """Write the gradient of the pre-activations into `out`, and turn that of the cell into that of the one before.

    Args:
        gates: what `cell_` left `(..., 4h, n)`.
        c: the cell before `(..., h, n)`.
        tanh: of the cell after.
        dh: gradient of the state.
        dc: gradient of the cell after, from later steps; in place.
        out: `(..., 4h, n)`, of pre-activations that are not doubled.
    """
    h = c.shape[-2]
    o, f, i, g = gates.chunk(4, -2)
    do, df, di, dg = out.chunk(4, -2)
    u = torch.mul(g, 2).sub_(1)  # tanh of the pre-activation
    dc.addcmul_(torch.mul(tanh, tanh).neg_().add_(1).mul_(o), dh)
    torch.mul(dh, tanh, out=do)
    torch.mul(dc, c, out=df)
    torch.mul(dc, u, out=di)
    ofi = out.narrow(-2, 0, 3 * h)
    torch.ops.aten.sigmoid_backward.grad_input(ofi, gates.narrow(-2, 0, 3 * h), grad_input=ofi)
    torch.mul(dc, u.mul_(u).neg_().add_(1).mul_(i), out=dg)
    dc.mul_(f)


class RowScan(torch.autograd.Function):
    """An LSTM down the rows, all images and columns at once.

    A step reads the pixel to the left and the pixel of the input, and the states of three pixels of the row above;
    zeros stand beside the image.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor
    ) -> Tensor:
        """Return states `(B, h, H, W)`.

        Args:
            ctx: of autograd.
            v: input maps `(B, C, H, W)`.
            weight: W `(4h, 2C + 3h)`: from the left and the own pixel of the input, then from the states.
            bias: b `(4h, 1)`.
            h0: initial state `(h, 1)`, the same for all columns.
            c0: initial cell `(h, 1)`.
        """
        (batch, channels, H, W), h, dtype = v.shape, len(h0), precise(v)
        n = batch * W
        read = v.new_zeros(H, weight.shape[1], batch, W, dtype=dtype)
        rows = v.permute(2, 1, 0, 3)
        read[:, :channels, :, 1:] = rows[..., :-1]
        read[:, channels : 2 * channels] = rows
        gates, tanhs = read.new_empty(H, 4 * h, n), read.new_empty(H, h, n)
        cells, states = read.new_empty(H + 1, h, n), read.new_empty(H, h, batch, W)
        cells[0] = c0
        state = h0.to(dtype)[..., None].expand(-1, batch, W)
        W_, b_ = doubled(weight.to(dtype), h), doubled(bias.to(dtype), h)
        with torch.autocast(v.device.type, enabled=False):
            for y in range(H):
                left, above, right = read[y, 2 * channels :].chunk(3)
                left[..., 1:] = state[..., :-1]
                above[:] = state
                right[..., :-1] = state[..., 1:]
                torch.addmm(b_, W_, read[y].flatten(1), out=gates[y])
                cell_(gates[y], cells[y], cells[y + 1], tanhs[y])
                state = states[y]
                torch.mul(gates[y, :h], tanhs[y], out=state.flatten(1))
        ctx.save_for_backward(weight, read, gates, cells, tanhs)
        ctx.dtype = v.dtype
        return states.permute(2, 1, 0, 3).to(v.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        weight, read, gates, cells, tanhs = ctx.saved_tensors
        (H, _, batch, W), h = read.shape, tanhs.shape[1]
        channels = (read.shape[1] - 3 * h) // 2
        dstates = read.new_empty(H, h, batch, W)
        dstates[:] = grad.permute(2, 1, 0, 3)
        drows = read.new_empty(H, channels, batch, W)
        dh, dc, da = read.new_zeros(h, batch, W), read.new_zeros(h, batch * W), torch.empty_like(gates[0])
        dread, dW, db = torch.empty_like(read[0]), torch.zeros_like(weight, dtype=read.dtype), da.new_zeros(4 * h)
        transposed = weight.to(read.dtype).T.contiguous()
        with torch.autocast(read.device.type, enabled=False):
            for y in reversed(range(H)):
                dh += dstates[y]
                cell_backward_(gates[y], cells[y], tanhs[y], dh.flatten(1), dc, da)
                dW.addmm_(da, read[y].flatten(1).T)
                db += da.sum(1)
                torch.mm(transposed, da, out=dread.flatten(1))
                drows[y] = dread[channels : 2 * channels]
                drows[y, ..., :-1] += dread[:channels, :, 1:]
                left, above, right = dread[2 * channels :].chunk(3)
                dh.copy_(above)
                dh[..., :-1] += left[..., 1:]
                dh[..., 1:] += right[..., :-1]
        initial = (s.flatten(1).sum(1, keepdim=True) for s in (dh, dc))
        dv = drows.permute(2, 1, 0, 3).to(ctx.dtype)
        return dv, *(t.to(weight.dtype) for t in (dW, db[:, None], *initial))


class DiagonalScan(torch.autograd.Function):
    """Two LSTMs down the diagonals, from the upper left and, on the mirrored map, from the upper right corner.

    A step reads the pixel of the input, and the states of the pixel beside, one diagonal before, and of that above.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor
    ) -> Tensor:
        """Return the states of both `(2, h, H, W, B)`, those of the second mirrored.

        Args:
            ctx: of autograd.
            v: input maps `(B, C, H, W)`.
            weight: W `(2, 4h, C + 2h)`: from the pixel, then from the states beside and above.
            bias: b `(2, 4h, 1)`.
            h0: initial states `(2, h, 1)`, to the left of the first column and above the first row.
            c0: initial cells `(2, h, 1)`.
        """
        (batch, channels, H, W), h, dtype = v.shape, h0.shape[1], precise(v)
        x = v.new_empty(2, channels, H, W, batch, dtype=dtype)
        x[0] = v.permute(1, 2, 3, 0)
        x[1] = v.flip(3).permute(1, 2, 3, 0)
        states = h0.to(dtype).repeat(1, 1, (H + 1) * batch)  # the row above the first one, then a row each
        cells = c0.to(dtype).repeat(1, 1, H * batch)
        out = v.new_empty(2, h, H, W, batch)
        W_, b_ = doubled(weight.to(dtype), h), doubled(bias.to(dtype), h)
        steps = []
        with torch.autocast(v.device.type, enabled=False):
            for d in range(H + W - 1):
                beside, above = neighbours(d, H, W, batch)
                read = torch.cat([diagonal(x, d).flatten(2), states[..., beside], states[..., above]], 1)
                a = torch.baddbmm(b_, W_, read)
                c = cells[..., above].clone()
                tanh = torch.empty_like(c)
                cell_(a, c, cells[..., above], tanh)
                state = torch.mul(a[:, :h], tanh, out=states[..., beside])
                diagonal(out, d).copy_(state.unflatten(2, (-1, batch)))
                steps.append((read, a, c, tanh))
        ctx.save_for_backward(weight)
        ctx.steps, ctx.shape, ctx.dtype = steps, x.shape, v.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        (weight,) = ctx.saved_tensors
        (_, channels, H, W, batch), h, dtype = ctx.shape, weight.shape[1] // 4, ctx.steps[0][0].dtype
        grad, transposed = grad.contiguous(), weight.to(dtype).mT.contiguous()
        dx = transposed.new_empty(ctx.shape)
        dstates, dcells = dx.new_zeros(2, h, (H + 1) * batch), dx.new_zeros(2, h, H * batch)
        dW, db = torch.zeros_like(weight, dtype=dtype), dx.new_zeros(2, 4 * h)
        with torch.autocast(dx.device.type, enabled=False):
            for d in reversed(range(H + W - 1)):
                beside, above = neighbours(d, H, W, batch)
                read, a, c, tanh = ctx.steps[d]
                own, da = dstates[..., beside], torch.empty_like(a)
                cell_backward_(a, c, tanh, own + diagonal(grad, d).flatten(2), dcells[..., above], da)
                dW.baddbmm_(da, read.mT)
                db += da.sum(2)
                dread = torch.bmm(transposed, da)
                diagonal(dx, d).copy_(dread[:, :channels].unflatten(2, (-1, batch)))
                own.copy_(dread[:, channels : channels + h])
                dstates[..., above] += dread[:, channels + h :]
        dv = (dx[0] + dx[1].flip(2)).permute(3, 0, 1, 2).to(ctx.dtype)
        initial = (s.sum(2, keepdim=True) for s in (dstates, dcells))
        return dv, *(t.to(weight.dtype) for t in (dW, db[..., None], *initial))


def rows_of(d: int, H: int, W: int) -> tuple[int, int]:
    """Return the first row of a diagonal i + j = d, and the one after its last."""
    return max(0, d - W + 1), min(d, H - 1) + 1


def neighbours(d: int, H: int, W: int, batch: int) -> tuple[slice, slice]:
    """Return where the states beside and above the pixels of a diagonal are, a row of the image after the other."""
    low, high = rows_of(d, H, W)
    return slice((low + 1) * batch, (high + 1) * batch), slice(low * batch, high * batch)


def diagonal(maps: Tensor, d: int) -> Tensor:
    """Return the view `(2, C, n, B)` of the n pixels of a diagonal of contiguous maps `(2, C, H, W, B)`, from above."""
    two, channels, H, W, batch = maps.shape
    low, high = rows_of(d, H, W)
    first = maps.storage_offset() + (low * W + d - low) * batch
    return maps.as_strided((two, channels, high - low, batch), (*maps.stride()[:2], (W - 1) * batch, 1), first)
