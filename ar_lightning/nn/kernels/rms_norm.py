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
        if not x.is_cpu or x.dtype != self.weight.dtype or (torch.is_grad_enabled() and not x.requires_grad):
            return super().forward(x)
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        y: Tensor = (Norm.apply if x.requires_grad else normalised)(x, self.weight, eps)
        return y


def inverse_root(x: Tensor, eps: float) -> Tensor:
    """Return r. A norm reads x once, and writes nothing as large; x * x would."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def normalised(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return y."""
    return (x * inverse_root(x, eps)).mul_(weight)


class Norm(torch.autograd.Function):
    """See above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        r = inverse_root(x, eps)
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
