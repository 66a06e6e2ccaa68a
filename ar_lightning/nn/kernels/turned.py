"""Queries, keys and values of attention at rotary positions, with a backward pass that writes each gradient once.

Autograd would put the gradients of queries and keys together, turn them, and then put that together with the values'.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.nn.rotary import rotate

__all__ = ["turned"]


def turned(qkv: Tensor, turns: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Split `(B, n, 3, heads, d)` into queries, keys and values `(B, heads, n, d)`; turn the first two.

    `turns` are those of queries and of keys, as `for_heads` gives them; None where positions are not rotary.
    """
    if turns is None:
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v
    fast = qkv.is_cpu and qkv.requires_grad and qkv.dtype == turns.dtype and not qkv.shape[-1] % 2
    q, k, v = Turned.apply(qkv, turns) if fast else split(qkv, turns)
    return q, k, v


def split(qkv: Tensor, turns: Tensor) -> tuple[Tensor, ...]:
    """Do the same by operations that autograd knows."""
    qk, v = qkv.split([2, 1], 2)  # whose gradients are put together in one piece
    q, k = rotate(qk, turns).permute(2, 0, 3, 1, 4)
    return q, k, v.squeeze(2).transpose(1, 2)


class Turned(torch.autograd.Function):
    """See above. The gradient of what was turned is turned back."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, turns: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        ctx.save_for_backward(turns)
        return split(qkv, turns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        back = torch.view_as_complex(ctx.saved_tensors[0]).conj().resolve_conj()
        dq, dk, dv = (g.transpose(1, 2) for g in grads)  # (B, n, heads, d)
        dqkv = dv.new_empty(*dv.shape[:2], 3, *dv.shape[2:])
        for i, g in enumerate((dq, dk)):
            torch.mul(as_pairs(g.contiguous()), back[..., i, :, :], out=as_pairs(dqkv[:, :, i]))
        dqkv[:, :, 2] = dv
        return dqkv, None


def as_pairs(x: Tensor) -> Tensor:
    """Take features `(..., d)` as complex numbers `(..., d // 2)`."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))
