"""The gate `tanh(a) * sigmoid(b)` with one sigmoid for both halves, and a backward pass that keeps nothing else.

tanh(a) = 2 sigmoid(2a) - 1,    da = g sigmoid(b) (1 - tanh(a)^2),    db = g tanh(a) sigmoid(b) (1 - sigmoid(b))
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["activate_", "gate"]


def gate(maps: Tensor, groups: int = 1, added: Tensor | None = None) -> Tensor:
    """Return `tanh(a) * sigmoid(b)`, where `[a, b]` are the two halves of the channels of each group.

    Maps `(B, groups * 2 * n, *sites)`, and what is `added` to them, become `(B, groups * n, *sites)`.
    """
    if torch.is_grad_enabled():
        gated: Tensor = Gate.apply(maps, groups, added)
        return gated
    return activated_(maps.clone() if added is None else maps + added, groups)


def activated_(maps: Tensor, groups: int) -> Tensor:
    """Return the gated maps `(B, groups * n, *sites)`; halves are overwritten by their tanh and their sigmoid."""
    a, b = maps.chunk(2, 1) if groups == 1 else halves(maps, groups)  # with fewer views, if it can be
    activate_(maps, a, b)
    gated = a * b
    return gated if groups == 1 else gated.flatten(1, 2)


def halves(maps: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """View the two halves of each group of channels, `(B, groups, n, *sites)`."""
    a, b = maps.unflatten(1, (groups, 2, -1)).unbind(2)
    return a, b


def activate_(maps: Tensor, a: Tensor, b: Tensor) -> None:
    """Turn a into tanh(a) and b into sigmoid(b), in place; they are views that together make up `maps`."""
    if maps.dtype.itemsize < 4:  # 2 sigmoid(2a) - 1 would round a small tanh away
        a.tanh_()
        b.sigmoid_()
    else:
        a.mul_(2)
        maps.sigmoid_()
        a.mul_(2).sub_(1)


class Gate(torch.autograd.Function):
    """See `gate`."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, groups: int, added: Tensor | None) -> Tensor:  # type: ignore[override]
        h = maps.clone() if added is None else maps + added
        gated = activated_(h, groups)
        ctx.save_for_backward(h)
        ctx.groups, ctx.added = groups, added is not None
        return gated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (h,) = ctx.saved_tensors
        t, s = halves(h, ctx.groups)
        dh = torch.empty_like(h)
        da, db = halves(dh, ctx.groups)
        through = grad.unflatten(1, (ctx.groups, -1)) * s
        torch.addcmul(through, through, t * t, value=-1, out=da)
        torch.mul(torch.addcmul(through, through, s, value=-1), t, out=db)
        return dh, None, dh if ctx.added else None
