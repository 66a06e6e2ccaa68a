"""The running pre-activation of NADE: one hidden layer for every site, without a Python step per site.

    a_i = c + sum_{j<i} W_j z_j,    h_i = f(a_i),    params_i = b_i + V_i h_i

All a_i together would take B * D * H numbers. Sites are done in blocks instead: inside a block the prefix sums are
one batched product and a cumulative sum, only the pre-activation at its end is carried on, and the backward pass
walks the blocks from the last to the first, taking each block's sum off again and recomputing its activations. Memory
is O(B * H * block).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ar_lightning.core.fields import Activation
from ar_lightning.nn.kernels.nade_compiled import CompiledPrefix
from ar_lightning.nn.streaming import Streaming

__all__ = ["PrefixHidden"]


class PrefixHidden(Streaming):
    """Hidden units that have read the values before each site, and the outputs they give there.

    Args:
        dims: number of sites D.
        inputs: encoded inputs per site E.
        hidden: hidden units H.
        params: outputs per site P.
        activation: f.
        block: sites computed at a time.
    """

    def __init__(
        self, dims: int, inputs: int, hidden: int, params: int, activation: Activation = "sigmoid", block: int = 16
    ) -> None:
        super().__init__()
        self.activation, self.block = activation, block
        self.W = nn.Parameter(torch.empty(dims, inputs, hidden))  # W[i] reads the value before site i; W[0] reads zeros
        self.V = nn.Parameter(torch.empty(dims, params, hidden))
        self.b = nn.Parameter(torch.zeros(dims, params))
        self.c = nn.Parameter(torch.zeros(hidden))
        nn.init.normal_(self.W, std=(dims * inputs) ** -0.5)
        nn.init.normal_(self.V, std=hidden**-0.5)
        self.compiled = False

    def compile_kernels(self) -> bool:
        """Use kernels that are compiled at their first use, for one input and one output a site; return whether."""
        self.compiled = self.W.shape[1] == self.V.shape[1] == 1
        return self.compiled

    def forward(self, past: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map the values before each of n sites (B, n, E), and a bias of the hidden units (B, H), to (B, n, P)."""
        n = past.shape[1]
        start = self.advance(n)
        W, V, b = (t[start : start + n] for t in (self.W, self.V, self.b))
        if start:
            assert self.past is not None
            a = self.past["a"]
        else:
            a = self.c.expand(len(past), -1) if bias is None else self.c + bias
        with torch.autocast(past.device.type, enabled=False):  # a sum over hundreds of sites is no work for bfloat16
            ordered = past.transpose(0, 1).to(W.dtype)
            if self.past is None:
                kernels = CompiledPrefix if self.compiled and not ordered.requires_grad else Prefix
                return kernels.apply(ordered, W, V, b, a.to(W.dtype), self.activation, self.block)
            out, self.past["a"] = prefix(ordered, W, V, b, a.to(W.dtype), self.activation, self.block)
            return out


def prefix(
    past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, block: int
) -> tuple[Tensor, Tensor]:
    """Return the outputs (B, n, P) at n sites and the pre-activation (B, H) after the last; `past` is (n, B, E)."""
    outs = []
    buffer = past.new_empty(min(block, len(past)), past.shape[1], W.shape[2])
    for i in range(0, len(past), block):
        A = pre_activations(past[i : i + block], W[i : i + block], a, buffer)
        a = A[-1].clone()
        h = activate_(A, activation)
        outs.append(torch.bmm(V[i : i + block], h.mT))  # (k, P, B)
    return (torch.cat(outs) + b[:, :, None]).permute(2, 0, 1), a


def pre_activations(past: Tensor, W: Tensor, a: Tensor, buffer: Tensor) -> Tensor:
    """Return a_i (k, B, H) of k sites, in the buffer, given the values before each and `a` before all of them."""
    A = product(past, W, buffer[: len(past)])
    A[0] += a
    return torch.cumsum(A, 0, out=A)


def activate_(A: Tensor, activation: Activation) -> Tensor:
    return A.sigmoid_() if activation == "sigmoid" else A.relu_()


def product(x: Tensor, W: Tensor, out: Tensor) -> Tensor:
    """Batched matrix product; where the inner dimension is one, broadcasting is faster."""
    return torch.mul(x, W, out=out) if x.shape[-1] == 1 else torch.bmm(x, W, out=out)


class Prefix(torch.autograd.Function):
    """`prefix` with a backward pass that recomputes instead of remembering."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, block: int
    ) -> Tensor:
        out, end = prefix(past, W, V, b, a, activation, block)
        ctx.save_for_backward(past, W, V, end)
        ctx.activation, ctx.block = activation, block
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        past, W, V, a = ctx.saved_tensors
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
            torch.bmm(grad[s], h, out=dV[s])
            dA = through_activation_(product(grad[s].mT, V[s], other[: len(h)]), h, ctx.activation)
            dA[-1] += da
            sums = torch.cumsum(dA, 0, out=h)
            dA += sums[-1]
            dA -= sums  # what site i adds reaches every later one: the sum of dA from i on
            torch.bmm(past[s].mT, dA, out=dW[s])
            if dpast is not None:
                torch.bmm(dA, W[s].mT, out=dpast[s])
            da = dA[0].clone()
        return dpast, dW, dV, grad.sum(2), da, None, None


def through_activation_(grad: Tensor, h: Tensor, activation: Activation) -> Tensor:
    """Turn the gradient of the activations into that of the pre-activations, in place."""
    if activation == "sigmoid":
        return torch.ops.aten.sigmoid_backward.grad_input(grad, h, grad_input=grad)
    return torch.ops.aten.threshold_backward.grad_input(grad, h, 0, grad_input=grad)
