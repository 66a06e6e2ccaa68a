"""The scans of PixelRNN's LSTMs over rows and diagonals, with backward passes of their own.

    [o, f, i, g] = W [v, h_1, h_2, ...] + b,    c = f c' + i g,    h = o tanh(c)

The states that a step reads are put side by side, so that it is one matrix product and a few passes over memory that
the cache still holds; the backward pass takes the same steps back. What does not wait for a state is done for all rows
at once. Maps are kept channels first, then the pixels of a step of all images. As tanh(a) = 2 sigmoid(2a) - 1, one
sigmoid gives all gates. Cells are computed in float32 or better, also under autocast, which rounds products of rows.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.nn.precision import uncast

__all__ = ["DiagonalScan", "RowScan", "diagonal_scan", "row_scan"]


Gates = Sequence[Tensor]  # o, f, i, g


def precise(t: Tensor) -> torch.dtype:
    """Return the more precise of float32 and the type of the tensor."""
    return torch.promote_types(t.dtype, torch.float32)


def doubled(weight: Tensor, h: int) -> Tensor:
    """Return weights `(..., 4h, n)` with the rows of g doubled."""
    return torch.cat([weight[..., : 3 * h, :], 2 * weight[..., 3 * h :, :]], -2)


def cell_(a: Tensor, gates: Gates, c: Tensor, out: Tensor, tanh: Tensor) -> None:
    """Turn pre-activations `(..., 4h, n)`, those of g doubled, into gates in place; write the new cell and its tanh.

    `gates` are the views of o, f, i and g in `a`.
    """
    a.sigmoid_()
    _, f, i, g = gates
    torch.mul(f, c, out=out)
    out.addcmul_(i, g, value=2).sub_(i)  # i (2 g - 1)
    torch.mul(out, 2, out=tanh).sigmoid_().mul_(2).sub_(1)


def cell_backward_(
    sigmoids: Tensor, gates: Gates, c: Tensor, tanh: Tensor, dh: Tensor, dc: Tensor, dsigmoids: Tensor, out: Gates
) -> None:
    """Write the gradients of the pre-activations, and turn the gradient of the cell into that of the cell before.

    Args:
        sigmoids: o, f and i as `cell_` left them `(..., 3h, n)`.
        gates: views of o, f, i and g, `(..., h, n)` each.
        c: the cell before `(..., h, n)`.
        tanh: tanh of the cell after.
        dh: gradient of the state.
        dc: gradient of the cell after, from later steps; changed in place.
        dsigmoids: written: the gradients of o, f and i `(..., 3h, n)`.
        out: written: views of the gradients of o, f, i and g, of pre-activations that are not doubled.
    """
    (o, f, i, g), (do, df, di, dg) = gates, out
    u = torch.mul(g, 2).sub_(1)  # tanh of the pre-activation
    dc.addcmul_(torch.mul(tanh, tanh).neg_().add_(1).mul_(o), dh)
    torch.mul(dh, tanh, out=do)
    torch.mul(dc, c, out=df)
    torch.mul(dc, u, out=di)
    torch.ops.aten.sigmoid_backward.grad_input(dsigmoids, sigmoids, grad_input=dsigmoids)
    torch.mul(dc, u.mul_(u).neg_().add_(1).mul_(i), out=dg)
    dc.mul_(f)


def add_product_(out: Tensor, weight: Tensor, read: Tensor) -> None:
    """Add `weight @ read` to `out`, which may be more precise."""
    if weight.dtype == out.dtype:
        out.addmm_(weight, read)
    else:
        out += weight @ read


def overlaps(kernel: int, width: int) -> list[tuple[slice, slice]]:
    """List for each offset of a kernel, from the left, the columns x with x + offset inside the row, and x + offset."""
    spans = []
    for offset in range(-(kernel // 2), kernel // 2 + 1):
        n, first = max(0, width - abs(offset)), max(0, -offset)
        spans.append((slice(first, first + n), slice(first + offset, first + offset + n)))
    return spans


def rows_of_parts(gates: Tensor) -> list[Gates]:
    """View o, f, i and g of each row of `(H, 4h, n)`."""
    return list(zip(*(part.unbind() for part in gates.chunk(4, 1)), strict=True))


class RowScan(torch.autograd.Function):
    """An LSTM down the rows, all images and columns at once.

    With a kernel of k, a step reads of the input the pixel and the k // 2 to its left, and of the row above the states
    of k pixels; beside the image it reads zeros.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, kernel: int
    ) -> Tensor:
        """Return states `(B, h, H, W)`.

        Args:
            v: input maps `(B, C, H, W)`.
            weight: W `(4h, (k // 2 + 1) C + k h)`: from the pixels of the input, then from the states; left first.
            bias: b `(4h, 1)`.
            h0: initial state `(h, 1)`, the same for all columns.
            c0: initial cell `(h, 1)`.
            kernel: k, odd.
        """
        (batch, channels, H, W), h, dtype = v.shape, len(h0), precise(v)
        autocast = torch.is_autocast_enabled(v.device.type)
        kind = torch.get_autocast_dtype(v.device.type) if autocast else dtype  # of matrix products
        n, rows, spans = batch * W, v.permute(2, 1, 0, 3), overlaps(kernel, W)
        inputs = (kernel // 2 + 1) * channels
        read, around = (v.new_zeros(H, size, batch, W, dtype=kind) for size in (inputs, kernel * h))
        for tap, (here, there) in zip(read.split(channels, 1), spans, strict=False):
            tap[..., here] = rows[..., there]
        cells, states = v.new_empty(H + 1, h, n, dtype=dtype), v.new_empty(H + 1, h, batch, W, dtype=dtype)
        cells[0], states[0] = c0, h0[..., None]
        tanhs = v.new_empty(H, h, n, dtype=dtype)
        W_, b_ = doubled(weight.to(dtype), h).to(kind), doubled(bias.to(dtype), h)
        from_input, from_states = W_[:, :inputs], W_[:, inputs:].contiguous()
        with uncast(v):
            gates = torch.bmm(from_input.expand(H, -1, -1), read.flatten(2)).to(dtype).add_(b_)
            # Views of all rows, made at once: making them in the loop would take as long as the work.
            a, parts, c, tanh = gates.unbind(), rows_of_parts(gates), cells.unbind(), tanhs.unbind()
            taps = zip(around.split(h, 1), spans, strict=True)
            taps_of_rows = zip(*(tap[..., here].unbind() for tap, (here, _) in taps), strict=True)
            befores = zip(*(states[..., there].unbind() for _, there in spans), strict=True)
            flat, state = around.flatten(2).unbind(), states.flatten(2).unbind()
            for y, (row_taps, before) in enumerate(zip(taps_of_rows, befores, strict=False)):
                for tap, source in zip(row_taps, before, strict=True):
                    tap.copy_(source)
                add_product_(a[y], from_states, flat[y])
                cell_(a[y], parts[y], c[y], c[y + 1], tanh[y])
                torch.mul(parts[y][0], tanh[y], out=state[y + 1])
        ctx.save_for_backward(weight, read, around, gates, cells, tanhs)
        ctx.dtype, ctx.kernel = v.dtype, kernel
        return states[1:].permute(2, 1, 0, 3).to(v.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        weight, read, around, gates, cells, tanhs = ctx.saved_tensors
        (H, inputs, batch, W), h, kind, dtype = read.shape, tanhs.shape[1], read.dtype, gates.dtype
        spans = overlaps(ctx.kernel, W)
        dgates, dstates = torch.empty_like(gates), gates.new_empty(H, h, batch, W)
        dstates[:] = grad.permute(2, 1, 0, 3)
        dh, dc, daround = dstates.new_zeros(h, batch, W), gates.new_zeros(h, batch * W), torch.empty_like(around[0])
        to_input, to_states = weight.to(kind).T.split([inputs, ctx.kernel * h])
        to_states = to_states.contiguous()
        parts, dparts = rows_of_parts(gates), rows_of_parts(dgates)
        ofi, dofi = gates[:, : 3 * h].unbind(), dgates[:, : 3 * h].unbind()
        c, tanh, dgate, dstate = cells.unbind(), tanhs.unbind(), dgates.unbind(), dstates.unbind()
        taps = list(zip(daround.split(h), spans, strict=True))
        dabove, _ = taps.pop(ctx.kernel // 2)
        beside = [(dh[..., there], tap[..., here]) for tap, (here, there) in taps]
        dh_flat, daround_flat = dh.flatten(1), daround.flatten(1)
        with uncast(read):
            for y in reversed(range(H)):
                dh += dstate[y]
                cell_backward_(ofi[y], parts[y], c[y], tanh[y], dh_flat, dc, dofi[y], dparts[y])
                torch.mm(to_states, dgate[y].to(kind), out=daround_flat)
                dh.copy_(dabove)
                for dh_there, tap in beside:
                    dh_there += tap
            rounded = dgates.to(kind)
            dread = torch.bmm(to_input.expand(H, -1, -1), rounded).unflatten(2, (batch, W))
            dweight = [torch.bmm(rounded, x.flatten(2).mT).sum(0, dtype=dtype) for x in (read, around)]
        *dbefore, dv = dread.chunk(ctx.kernel // 2 + 1, 1)
        for tap, (here, there) in zip(dbefore, spans, strict=False):
            dv[..., there] += tap[..., here]
        initial = (s.flatten(1).sum(1, keepdim=True) for s in (dh, dc))
        gradients = (torch.cat(dweight, 1), dgates.sum((0, 2))[:, None], *initial)
        return dv.permute(2, 1, 0, 3).to(ctx.dtype), *(t.to(weight.dtype) for t in gradients), None


class DiagonalScan(torch.autograd.Function):
    """Two LSTMs down the diagonals, from the upper left and, on the mirrored map, from the upper right corner.

    A step reads the pixel of the input and the states of the pixels beside and above, one diagonal before.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor, keep: bool = True
    ) -> Tensor:
        """Return the states of both LSTMs `(2, h, H, W, B)`, those of the second mirrored.

        Args:
            v: input maps `(B, C, H, W)`.
            weight: W `(2, 4h, C + 2h)`: from the pixel, then from the states beside and above.
            bias: b `(2, 4h, 1)`.
            h0: initial states `(2, h, 1)`, to the left of the first column and above the first row.
            c0: initial cells `(2, h, 1)`.
            keep: save what the backward pass needs.
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
        with uncast(v):
            for d in range(H + W - 1):
                beside, above = neighbours(d, H, W, batch)
                read = torch.cat([diagonal(x, d).flatten(2), states[..., beside], states[..., above]], 1)
                a = torch.baddbmm(b_, W_, read)
                c = cells[..., above].clone()
                tanh = torch.empty_like(c)
                cell_(a, a.chunk(4, 1), c, cells[..., above], tanh)
                state = torch.mul(a[:, :h], tanh, out=states[..., beside])
                diagonal(out, d).copy_(state.unflatten(2, (-1, batch)))
                if keep:
                    steps.append((read, a, c, tanh))
        ctx.save_for_backward(weight, *chain.from_iterable(steps))
        ctx.shape, ctx.dtype = x.shape, v.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, *kept = ctx.saved_tensors
        steps = [kept[i : i + 4] for i in range(0, len(kept), 4)]
        (_, channels, H, W, batch), h, dtype = ctx.shape, weight.shape[1] // 4, kept[0].dtype
        grad, transposed = grad.contiguous(), weight.to(dtype).mT.contiguous()
        dx = transposed.new_empty(ctx.shape)
        dstates, dcells = dx.new_zeros(2, h, (H + 1) * batch), dx.new_zeros(2, h, H * batch)
        dW, db = torch.zeros_like(weight, dtype=dtype), dx.new_zeros(2, 4 * h)
        with uncast(dx):
            for d in reversed(range(H + W - 1)):
                beside, above = neighbours(d, H, W, batch)
                read, a, c, tanh = steps[d]
                own, da, dh = dstates[..., beside], torch.empty_like(a), diagonal(grad, d).flatten(2)
                cell_backward_(
                    a[:, : 3 * h], a.chunk(4, 1), c, tanh, dh + own, dcells[..., above], da[:, : 3 * h], da.chunk(4, 1)
                )
                dW.baddbmm_(da, read.mT)
                db += da.sum(2)
                dread = torch.bmm(transposed, da)
                diagonal(dx, d).copy_(dread[:, :channels].unflatten(2, (-1, batch)))
                own.copy_(dread[:, channels : channels + h])
                dstates[..., above] += dread[:, channels + h :]
        dv = (dx[0] + dx[1].flip(2)).permute(3, 0, 1, 2).to(ctx.dtype)
        initial = (s.sum(2, keepdim=True) for s in (dstates, dcells))
        return dv, *(t.to(weight.dtype) for t in (dW, db[..., None], *initial)), None


def rows_of(d: int, H: int, W: int) -> tuple[int, int]:
    """Return the first row of the diagonal i + j = d, and the one after its last."""
    return max(0, d - W + 1), min(d, H - 1) + 1


def neighbours(d: int, H: int, W: int, batch: int) -> tuple[slice, slice]:
    """Return where, among the rows of the image, the states beside and above the pixels of a diagonal are."""
    low, high = rows_of(d, H, W)
    return slice((low + 1) * batch, (high + 1) * batch), slice(low * batch, high * batch)


def diagonal(maps: Tensor, d: int) -> Tensor:
    """View the n pixels of a diagonal of contiguous maps `(2, C, H, W, B)` as `(2, C, n, B)`, from the top."""
    two, channels, H, W, batch = maps.shape
    low, high = rows_of(d, H, W)
    first = maps.storage_offset() + (low * W + d - low) * batch
    return maps.as_strided((two, channels, high - low, batch), (*maps.stride()[:2], (W - 1) * batch, 1), first)


# The compiler would unroll every step of a scan, for minutes.
row_scan = torch.compiler.disable(RowScan.apply)


@torch.compiler.disable
def diagonal_scan(v: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, c0: Tensor) -> Tensor:
    """Apply `DiagonalScan`; without gradients, nothing is kept for the backward pass."""
    states: Tensor = DiagonalScan.apply(v, weight, bias, h0, c0, torch.is_grad_enabled())
    return states
