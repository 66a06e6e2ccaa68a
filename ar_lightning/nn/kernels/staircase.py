"""`F.linear(x, weight * reads(degrees, below))` where degrees ascend, without the half of the weights that is masked.

What is not masked is a staircase. The product is done in stairs, blocks of units, each with the inputs that any of them
reads; only the inputs that some of them read and others do not need a mask.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Stair", "Staircase", "reads", "staircase"]

BLOCKS = 8  # of a large weight matrix
LARGE = 2**18  # weights from which a matrix is large


def reads(degrees: Tensor, below: Tensor) -> Tensor:
    """Return the mask `(units, units below)`: which of the units below each unit reads.

    Example:
        >>> reads(torch.tensor([0, 2]), torch.tensor([0, 1, 2])).long()
        tensor([[1, 0, 0],
                [1, 1, 1]])
    """
    return below <= degrees[:, None]


Stair = tuple[slice, slice, slice]  # some units of a layer; those below that all of them read, and that only some read


def staircase(degrees: Tensor, below: Tensor) -> list[Stair]:
    """Divide a layer into stairs, given the ascending degrees of its units and of those below; a small one has none."""
    if len(degrees) * len(below) < LARGE:
        return []
    stairs, start = [], 0
    for ends in torch.searchsorted(below, degrees, right=True).tensor_split(BLOCKS):
        lowest, highest = int(ends[0]), int(ends[-1])
        stairs.append((slice(start, start + len(ends)), slice(lowest), slice(lowest, highest)))
        start += len(ends)
    return stairs


class Staircase(torch.autograd.Function):
    """The masked product, stair by stair; the gradient of masked weights is zero."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, degrees: Tensor, below: Tensor, stairs: list[Stair]
    ) -> Tensor:
        out = x.new_empty(len(x), len(weight))
        for units, all_read, edge in stairs:
            torch.mm(x[:, all_read], weight[units, all_read].T, out=out[:, units])
            out[:, units].addmm_(x[:, edge], (weight[units, edge] * reads(degrees[units], below[edge])).T)
        ctx.save_for_backward(x, weight, degrees, below)
        ctx.stairs = stairs
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, degrees, below = ctx.saved_tensors
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        dweight = torch.empty_like(weight)
        for units, all_read, edge in ctx.stairs:
            mask, g = reads(degrees[units], below[edge]), grad[:, units]
            torch.mm(g.T, x[:, : edge.stop], out=dweight[units, : edge.stop])
            dweight[units, edge] *= mask
            dweight[units, edge.stop :] = 0
            if dx is not None:
                dx[:, all_read].addmm_(g, weight[units, all_read])
                dx[:, edge].addmm_(g, weight[units, edge] * mask)
        return dx, dweight, None, None, None
