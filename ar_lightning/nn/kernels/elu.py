"""The activation of PixelCNN++, and a backward pass that needs no exponential.

elu(x) = x where x > 0, else exp(x) - 1,    its slope is 1 where x > 0, else elu(x) + 1

On CPUs, both halves of elu([x, -x]) share one exponential: elu(x) = max(x, exp(-|x|) - 1).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.nn.rounding import form

__all__ = ["concat_elu", "elu"]


def concat_elu(x: Tensor) -> Tensor:
    """Return elu([x, -x]), with twice the channels."""
    if not x.is_cpu:
        return F.elu(torch.cat([x, -x], 1))
    if form() == 1:
        return by_sum(torch.cat([x, -x], 1))
    y: Tensor = ConcatELU.apply(x) if x.requires_grad else by_maximum(x)
    return y


def elu(x: Tensor) -> Tensor:
    """Return x where it is positive, else exp(x) - 1."""
    if not x.is_cpu:
        return F.elu(x)
    if form() == 1:
        return by_sum(x)
    y: Tensor = ELU.apply(x) if x.requires_grad else torch.maximum(x, below_zero(x))
    return y


def by_sum(x: Tensor) -> Tensor:
    """Compute elu(x) as codes of form 1 were."""
    return (F.relu(x) + x.clamp(max=0).exp_()).sub_(1)


def below_zero(x: Tensor) -> Tensor:
    """Return exp(-|x|) - 1 without expm1, which PyTorch computes number by number on CPUs."""
    return x.abs().neg_().exp_().sub_(1)


def by_maximum(x: Tensor) -> Tensor:
    """Compute elu([x, -x])."""
    least, channels = below_zero(x), x.shape[1]
    y = x.new_empty(len(x), 2 * channels, *x.shape[2:])
    torch.maximum(x, least, out=y[:, :channels])
    torch.maximum(-x, least, out=y[:, channels:])
    return y


class ELU(torch.autograd.Function):
    """See `elu`; it keeps nothing but its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        y = torch.maximum(x, below_zero(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        return through(grad, y)


class ConcatELU(torch.autograd.Function):
    """See `concat_elu`; it keeps nothing but its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        y = by_maximum(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        plus, minus = through(grad, y).chunk(2, 1)
        return plus - minus


def through(grad: Tensor, y: Tensor) -> Tensor:
    """Turn the gradient of y = elu(x) into that of x."""
    dx: Tensor = torch.ops.aten.elu_backward(grad, 1.0, 1.0, 1.0, True, y)
    return dx
