"""NADE's running pre-activation over a block of sites, written for `torch.compile`: the state stays in registers.

    a_{i+1} = a_i + W_{i+1} x_i,    h_i = f(a_i),    out_i = b_i + V_i h_i

For one input and one output a site, as of binary data. The compiler unrolls a block into one loop over examples and
units. The plain form of it is `reference` in `nade.py`.
"""

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.core.fields import Activation

__all__ = ["CompiledPrefix"]


def forward_block(
    a: Tensor, past: Tensor, W: Tensor, V: Tensor, sigmoid: bool, kept: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the pre-activation `(B, H)` after k sites and their outputs `(k, B)`, given the value before each."""
    outs = []
    for x, w, v in zip(past.unbind(), W.unbind(), V.unbind(), strict=True):
        a = a + x[:, None] * w
        h = torch.sigmoid(a) if sigmoid else torch.relu(a)
        outs.append(((h if kept is None else h * kept) * v).sum(1))
    return a, torch.stack(outs)


def backward_block(
    a: Tensor, da: Tensor, past: Tensor, grad: Tensor, W: Tensor, V: Tensor, sigmoid: bool, kept: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Walk k sites back; return the pre-activation before them, its gradient, and those of W and V `(k, H)`.

    `a` is the pre-activation after them, `da` its gradient from all later sites, `grad` that of the outputs `(k, B)`.
    """
    dW, dV = [], []
    for x, g, w, v in reversed(list(zip(past.unbind(), grad.unbind(), W.unbind(), V.unbind(), strict=True))):
        dh = g[:, None] * v if kept is None else g[:, None] * v * kept
        if sigmoid:
            h = torch.sigmoid(a)
            da = da + dh * (h * (1 - h))
        else:
            h = torch.relu(a)
            da = da + torch.where(a > 0, dh, 0.0)
        dV.append((g[:, None] * (h if kept is None else h * kept)).sum(0))
        dW.append((x[:, None] * da).sum(0))
        a = a - x[:, None] * w
    return a, da, torch.stack(dW[::-1]), torch.stack(dV[::-1])


compiled = lru_cache(partial(torch.compile, dynamic=False))  # a block, which is compiled at its first call


class CompiledPrefix(torch.autograd.Function):
    """The outputs of all sites, block by block, with gradients of all but the values."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, past: Tensor, W: Tensor, V: Tensor, b: Tensor, a: Tensor, activation: Activation, block: int,
        kept: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the outputs `(B, n, 1)`; arguments as of `reference` in `nade.py`, and `block` sites at a time."""
        x, w, v = past[..., 0].contiguous(), W[:, 0], V[:, 0]
        outs, a = [], a.contiguous()
        for i in range(0, len(x), block):
            s = slice(i, i + block)
            step = compiled(forward_block) if len(x[s]) == block else forward_block
            a, out = step(a, x[s], w[s], v[s], activation == "sigmoid", kept)
            outs.append(out)
        ctx.save_for_backward(x, W, V, a, kept)
        ctx.activation, ctx.block = activation, block
        return (torch.cat(outs) + b).T[..., None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, W, V, a, kept = ctx.saved_tensors
        g, da = grad[..., 0].T.contiguous(), torch.zeros_like(a)
        dW, dV = torch.empty_like(W), torch.empty_like(V)
        for i in reversed(range(0, len(x), ctx.block)):
            s = slice(i, i + ctx.block)
            step = compiled(backward_block) if len(x[s]) == ctx.block else backward_block
            a, da, dW[s, 0], dV[s, 0] = step(a, da, x[s], g[s], W[s, 0], V[s, 0], ctx.activation == "sigmoid", kept)
        return None, dW, dV, grad.sum(0), da, None, None, None
