"""The steps of an LSTM over maps, a row or a diagonal of all images at once, and the way back.

    [o, f, i, g] = sum_k W_k read_k + b,    c = f c' + i g,    h = o tanh(c)

With n = -2c and g = sigmoid(2a), the cell is n = f n' + 2i - 4ig and the state is h = o - 2o sigmoid(n): one sigmoid
gives all gates, and there is no tanh, which is slower. Steps read and write views of maps, so that products of
gradients are added where they belong. The views of all steps are made at once: one by one they would take as long as
the work.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Steps", "run", "run_back"]


class Steps(NamedTuple):
    """Views of a scan's maps, one for each step.

    Args:
        inputs: what is read of the input, `(..., C, n)` each; one that is narrower is read by the last columns.
        above: states of the step before that are read, `(..., h, n)` each.
        before: the cells before `(..., h, n)`.
        cell: the cells after.
        state: the states after.
    """

    inputs: Sequence[tuple[Tensor, ...]]
    above: Sequence[tuple[Tensor, ...]]
    before: Sequence[Tensor]
    cell: Sequence[Tensor]
    state: Sequence[Tensor]


def run(steps: Steps, weights: Sequence[Tensor], bias: Tensor, keep: bool) -> list[Tensor]:
    """Write cells and states of all steps; return the gates `(..., 4h, n)` and sigmoid(n) of each, if to be kept.

    Args:
        steps: views of the maps; of cells, n.
        weights: W_k `(..., 4h, C)` of each input, then that of all states together.
        bias: b `(..., 4h, 1)`.
        keep: return what the backward pass needs.
    """
    whole, *others, recurrent = (scaled(W, 1, 1, 1, 2) for W in weights)
    bias = scaled(bias, 1, 1, 1, 2)
    product, add_product_ = (torch.addmm, Tensor.addmm_) if bias.ndim == 2 else (torch.baddbmm, Tensor.baddbmm_)
    kept: list[Tensor] = []
    for (x, *narrower), above, before, n, h in zip(*steps, strict=True):
        gates = product(bias, whole, x)
        for W, read in zip(others, narrower, strict=True):
            add_product_(last_columns(gates, read), W, read)
        add_product_(gates, recurrent, torch.cat(above, -2))
        gates.sigmoid_()
        o, f, i, g = gates.chunk(4, -2)
        torch.mul(f, before, out=n).addcmul_(i, g, value=-4).add_(i, alpha=2)
        s = torch.sigmoid(n)
        torch.addcmul(o, o, s, value=-2, out=h)
        if keep:
            kept += gates, s
    return kept


def run_back(
    steps: Steps, gradients: Steps, weights: Sequence[Tensor], kept: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Walk all steps back; return the gradients of the weights and of the bias.

    Args:
        steps: views of the maps, as `run` left them.
        gradients: of the states, by what is not read here, and else zeros. Those of what is read are added, and those
            of the cells c, with the other sign, are written.
        weights: as of `run`.
        kept: what `run` returned.
    """
    # What the gradients of f, i and g are multiplied by waits for the products that they are in.
    scales = 1, 0.5, 1, -4
    h = steps.state[0].shape[-2]
    *inputs, recurrent = (scaled(W, *scales).mT.contiguous() for W in weights)
    back = [*inputs, *recurrent.split(h, -2)]
    add_product_: Any = Tensor.addmm_ if recurrent.ndim == 2 else Tensor.baddbmm_
    dweights, dbias = [torch.zeros_like(W) for W in weights], torch.zeros_like(weights[0][..., 0])
    every = zip(zip(*steps, strict=True), zip(*gradients, strict=True), kept[::2], kept[1::2], strict=True)
    for (xs, above, before, *_), (dxs, dabove, dbefore, dc, dh), gates, s in reversed(list(every)):
        o, f, i, g = gates.chunk(4, -2)
        dgates = torch.empty_like(gates)
        do, df, di, dg = dgates.chunk(4, -2)
        through = torch.mul(dh, o)
        dc.add_(sigmoid_backward(through, s, through), alpha=-4)
        torch.addcmul(dh, dh, s, value=-2, out=do)
        torch.mul(dc, before, out=df)
        torch.addcmul(dc, dc, g, value=-2, out=di)
        torch.mul(dc, i, out=dg)
        torch.mul(dc, f, out=dbefore)
        sigmoid_backward(dgates, gates, dgates)
        for W, d in zip(back, (*dxs, *dabove), strict=True):
            add_product_(d, W, last_columns(dgates, d))
        for dW, read in zip(dweights, (*xs, torch.cat(above, -2)), strict=True):
            add_product_(dW, last_columns(dgates, read), read.mT)
        dbias += dgates.sum(-1)
    return [scaled(dW, *scales) for dW in dweights], scaled(dbias[..., None], *scales)


def sigmoid_backward(grad: Tensor, sigmoids: Tensor, out: Tensor) -> Tensor:
    """Write the gradient of what `sigmoids` are of."""
    written: Tensor = torch.ops.aten.sigmoid_backward.grad_input(grad, sigmoids, grad_input=out)
    return written


def last_columns(gates: Tensor, read: Tensor) -> Tensor:
    """View as many of the last columns as are read."""
    n, width = gates.shape[-1], read.shape[-1]
    return gates if n == width else gates[..., n - width :]


def scaled(weight: Tensor, *scales: float) -> Tensor:
    """Return weights `(..., 4h, n)` with the rows of o, f, i and g multiplied by a number each, a power of two."""
    rows = weight.new_tensor(scales).repeat_interleave(weight.shape[-2] // 4)
    return weight * rows[:, None]
