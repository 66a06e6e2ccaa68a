"""RMSNorm with a backward pass of few passes over memory, which PyTorch puts together of a dozen small ones on a CPU.

    y = w u,    u = r x,    r = 1 / sqrt(mean(x^2) + eps),    dx = r (w dy - u mean(u w dy))

PyTorch's backward pass of a layer norm, told that the means are zero, gives dx - r mean(w dy), and dw.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ar_lightning.nn.precision import uncast

__all__ = ["RMSNorm"]


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` of the last dimension: the same outputs, and the same gradients to rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(..., n)` to the same shape."""
        fast = x.is_cpu and x.requires_grad and x.dtype == self.weight.dtype
        y: Tensor = Norm.apply(x, self.weight, self.eps) if fast else super().forward(x)
        return y


class Norm(torch.autograd.Function):
    """See above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        # A norm reads x once, and writes nothing as large: x * x would.
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, r, weight)
        return (x * r).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, r, weight = ctx.saved_tensors
        grad, zeros, wanted = grad.contiguous(), torch.zeros_like(r), [True, True, False]
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, weight.shape, zeros, r, weight, None, wanted
        )
        with uncast(x):  # which would sum in bfloat16
            return dx.add_((grad @ weight)[..., None].div_(x.shape[-1]).mul_(r)), dweight, None
