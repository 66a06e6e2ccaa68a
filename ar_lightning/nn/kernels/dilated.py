"""A gated residual layer of WaveNet on rows that are shifted, never padded, with a backward pass of its own.

    z = tanh(f) * sigmoid(g),    [f, g][t] = h[t] + sum_j x[t - j d] W_j,    next x = x + z R

Activations are kept time first, so that a shift in time is a slice of rows and a convolution is a matrix product for
each tap. The inputs and the gates are kept for the backward pass, nothing else, and gradients are added up in place.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ar_lightning.nn.kernels.gate import activate_

__all__ = ["DilatedLayer", "reference"]


def reference(
    x: Tensor, h: Tensor, W: Tensor, R: Tensor | None, mask: Tensor | None, shift: int
) -> tuple[Tensor, Tensor]:
    """Compute what `DilatedLayer` computes, with padding."""
    n, channels = x.shape
    for j, tap in enumerate(reversed(W.split(channels))):  # the newest first
        h = h + F.pad(x, (0, 0, j * shift, 0))[:n] @ tap
    f, g = h.chunk(2, 1)
    z = torch.tanh(f) * torch.sigmoid(g)
    z = z if mask is None else z * mask
    return z, x if R is None else x + z @ R


class DilatedLayer(torch.autograd.Function):
    """A gated layer without its memory."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, h: Tensor, W: Tensor, R: Tensor | None, mask: Tensor | None, shift: int
    ) -> tuple[Tensor, Tensor]:
        """Return the units z `(n * B, C)` and the inputs of the next layer.

        Args:
            x: inputs `(n * B, C)`, time first.
            h: what else is added to the pre-activations `(n * B, 2C)`: bias, label, features.
            W: taps `(k * C, 2C)`, the oldest first.
            R: residual weights `(C, C)`; None after the last layer.
            mask: dropout mask of the units `(n * B, C)`, or None.
            shift: rows between taps: the dilation times B.
        """
        h = torch.addmm(h, x, W[-x.shape[1] :])
        for rows, tap in earlier_taps(W, x.shape, shift):
            h[rows:].addmm_(x[:-rows], W[tap])
        f, g = h.chunk(2, 1)
        activate_(h, f, g)
        z = f * g
        z = z if mask is None else z * mask
        ctx.save_for_backward(x, h, W, R, mask)
        ctx.shift = shift
        return z, x if R is None else torch.addmm(x, z, R)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz: Tensor, dx: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, gates, W, R, mask = ctx.saved_tensors
        t, s = gates.chunk(2, 1)  # tanh(f), sigmoid(g)
        dR = None
        if R is not None:
            z = t * s if mask is None else t * s * mask
            dz, dR = torch.addmm(dz, dx, R.t()), z.t() @ dx
        dz = dz if mask is None else dz * mask
        dh, dW, newest = torch.empty_like(gates), torch.zeros_like(W), slice(-x.shape[1], None)
        df, dg = dh.chunk(2, 1)
        torch.ops.aten.tanh_backward.grad_input(dz * s, t, grad_input=df)
        torch.ops.aten.sigmoid_backward.grad_input(dz * t, s, grad_input=dg)
        dx = torch.addmm(dx, dh, W[newest].t())
        dW[newest] = x.t() @ dh
        for rows, tap in earlier_taps(W, x.shape, ctx.shift):
            dx[:-rows].addmm_(dh[rows:], W[tap].t())
            dW[tap] = x[:-rows].t() @ dh[rows:]
        return dx, dh, dW, dR, None, None


def earlier_taps(W: Tensor, shape: torch.Size, shift: int) -> list[tuple[int, slice]]:
    """List how many rows back each tap but the newest reads, and its rows of W, unless that is before the first row."""
    n, channels = shape
    kernel = len(W) // channels
    taps = [((kernel - 1 - j) * shift, slice(j * channels, (j + 1) * channels)) for j in range(kernel - 1)]
    return [(rows, tap) for rows, tap in taps if rows < n]
