"""The running pre-activation of NADE in blocks of sites, with a backward pass that recomputes instead of remembering.

    a_i = c + sum_{j<i} W_j z_j,    h_i = f(a_i),    out_i = b_i + V_i h_i

All a_i together would take B * D * H numbers. Inside a block the prefix sums are one batched product and a running
sum; only the pre-activation at its end is carried on. The backward pass walks the blocks from the last to the first,
takes each block's sum off again and recomputes its activations. Memory is O(B * H * block).
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.core.fields import Activation

__all__ = ["Prefix", "prefix", "reference"]


def reference(
    past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, kept: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute what `prefix` computes, site by site.

    Args:
        past: the value before each site `(n, B, E)`.
        W: weights of it `(n, E, H)`.
        V: weights of the outputs `(n, P, H)`.
        b: their bias `(n, P)`.
        a: pre-activation before all sites `(B, H)`.
        activation: f.
        kept: what the units are multiplied by after f `(B, H)`, or None: dropout.

    Returns:
        The outputs `(B, n, P)` and the pre-activation `(B, H)` at the last site.
    """
    outs = []
    for z, W_i, V_i, b_i in zip(past, W, V, b, strict=True):
        a = a + z @ W_i
        h = torch.sigmoid(a) if activation == "sigmoid" else torch.relu(a)
        outs.append((h if kept is None else h * kept) @ V_i.T + b_i)
    return torch.stack(outs, 1), a


def prefix(
    past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, block: int,
    kept: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the outputs and the pre-activation of `reference`, a block of sites at a time."""
    if len(past) == 1:  # as while sampling: nothing to add up, and the same to the last bit
        A = product(past, W).add_(a)
        h = torch.sigmoid(A) if activation == "sigmoid" else torch.relu(A)
        h = h if kept is None else h * kept
        return (torch.bmm(V, h.mT) + b[:, :, None]).permute(2, 0, 1), A[0]
    outs = []
    buffer = past.new_empty(min(block, len(past)), past.shape[1], W.shape[2])
    for i in range(0, len(past), block):
        A = pre_activations(past[i : i + block], W[i : i + block], a, buffer)
        a = A[-1].clone()
        h = activate_(A, activation)
        h = h if kept is None else h.mul_(kept)
        outs.append(torch.bmm(V[i : i + block], h.mT))  # (k, P, B)
    return (torch.cat(outs) + b[:, :, None]).permute(2, 0, 1), a


class Prefix(torch.autograd.Function):
    """The outputs of `prefix`, with a backward pass that recomputes the activations."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, block: int,
        kept: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        out, end = prefix(past, W, V, b, a, activation, block, kept)
        ctx.save_for_backward(past, W, V, end, kept)
        ctx.activation, ctx.block = activation, block
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        past, W, V, a, kept = ctx.saved_tensors
        grad = grad.permute(1, 2, 0).contiguous()  # (n, P, B)
        dpast = torch.empty_like(past) if ctx.needs_input_grad[0] else None
        dW, dV = torch.empty_like(W), torch.empty_like(V)
        da = torch.zeros_like(a)  # gradient of the pre-activation, summed over all later sites
        size = (min(ctx.block, len(past)), past.shape[1], W.shape[2])
        # Fresh memory for each block would cost more than the sums in it.
        buffer, other = past.new_empty(size), past.new_empty(size)
        for i in reversed(range(0, len(past), ctx.block)):
            s = slice(i, i + ctx.block)
            a = a - torch.einsum("kbe,keh->bh", past[s], W[s])  # the pre-activation before the block
            h = activate_(pre_activations(past[s], W[s], a, buffer), ctx.activation)
            torch.bmm(grad[s], h if kept is None else h * kept, out=dV[s])
            dh = product(grad[s].mT, V[s], other[: len(h)])
            dA = through_activation_(dh if kept is None else dh.mul_(kept), h, ctx.activation)
            dA[-1] += da
            add_up_(dA, from_last=True)  # what site i adds reaches every later one
            torch.bmm(past[s].mT, dA, out=dW[s])
            if dpast is not None:
                torch.bmm(dA, W[s].mT, out=dpast[s])
            da = dA[0].clone()
        return dpast, dW, dV, grad.sum(2), da, None, None, None


def pre_activations(past: Tensor, W: Tensor, a: Tensor, buffer: Tensor) -> Tensor:
    """Compute a_i `(k, B, H)` of k sites in the buffer, given the values before each and `a` before all of them."""
    A = product(past, W, buffer[: len(past)])
    A[0] += a
    return add_up_(A)


def add_up_(terms: Tensor, from_last: bool = False) -> Tensor:
    """Turn k terms `(k, B, H)` into their running sums, in place; `from_last` adds up from the last to the first."""
    if not terms.is_cpu:  # where one large kernel starts sooner than k small ones
        ordered = terms.flip(0) if from_last else terms
        sums = ordered.cumsum(0)
        return terms.copy_(sums.flip(0) if from_last else sums)
    rows = terms.unbind()  # a cumsum on the CPU goes number by number
    for before, row in pairwise(reversed(rows) if from_last else rows):
        row += before
    return terms


def product(x: Tensor, W: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply batches of matrices; where the inner dimension is one, broadcasting is faster."""
    return torch.mul(x, W, out=out) if x.shape[-1] == 1 else torch.bmm(x, W, out=out)


def activate_(A: Tensor, activation: Activation) -> Tensor:
    return A.sigmoid_() if activation == "sigmoid" else A.relu_()


def through_activation_(grad: Tensor, h: Tensor, activation: Activation) -> Tensor:
    """Turn the gradient of the activations into that of the pre-activations, in place."""
    if activation == "sigmoid":
        return torch.ops.aten.sigmoid_backward.grad_input(grad, h, grad_input=grad)
    return torch.ops.aten.threshold_backward.grad_input(grad, h, 0, grad_input=grad)
