"""`F.linear(x, weight * reads(degrees, below), bias)` where degrees ascend, without the masked half of the weights.

What is not masked is a staircase. The product is done in stairs, blocks of units, each with the inputs that any of them
reads; only the inputs that some of them read and units before do not need a mask.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Stair", "Staircase", "edges", "reads", "staircase"]

SMALL, LARGE = 2**17, 2**21  # weights below which a matrix is one stair, and from which it is many
FEW, MANY = 4, 8  # stairs: a product has a cost of its own


def reads(degrees: Tensor, below: Tensor) -> Tensor:
    """Return the mask `(units, units below)`: which of the units below each unit reads.

    Example:
        >>> reads(torch.tensor([0, 2]), torch.tensor([0, 1, 2])).long()
        tensor([[1, 0, 0],
                [1, 1, 1]])
    """
    return below <= degrees[:, None]


Stair = tuple[slice, slice]  # some units of a layer; those below at its edge: all of the stair read all before it


def staircase(degrees: Tensor, below: Tensor) -> list[Stair]:
    """Divide a layer into stairs, given the ascending degrees of its units and of those below.

    An edge begins where the one before ends, and the last one ends with the units below.
    """
    size = len(degrees) * len(below)
    stairs = 1 if size < SMALL else FEW if size < LARGE else MANY
    ends = torch.searchsorted(below, degrees, right=True)  # of what each unit reads
    units = [len(degrees) * i // stairs for i in range(stairs + 1)]
    inputs = [0, *(int(ends[u - 1]) for u in units[1:-1]), len(below)]
    return [(slice(*u), slice(*i)) for u, i in zip(pairwise(units), pairwise(inputs), strict=True)]


def edges(degrees: Tensor, below: Tensor, stairs: list[Stair]) -> list[Tensor]:
    """Return the masks `(units, units below)` of the edges, as floats."""
    return [reads(degrees[units], below[edge]).float() for units, edge in stairs]


def product(x: Tensor, weight: Tensor, bias: Tensor | None, stairs: list[Stair], *masks: Tensor) -> Tensor:
    """Compute the masked product, stair by stair, given the masks of the edges."""
    out = x.new_zeros(len(x), len(weight)) if bias is None else x.new_empty(len(x), len(weight)).copy_(bias)
    for (units, edge), mask in zip(stairs, masks, strict=True):
        stair, rows = out[:, units], weight[units]
        stair.addmm_(x[:, edge], (rows[:, edge] * mask).T)
        if edge.start:
            stair.addmm_(x[:, : edge.start], rows[:, : edge.start].T)
    return out


class Staircase(torch.autograd.Function):
    """`product`, whose gradient of masked weights is zero."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stairs: list[Stair], *masks: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, *masks)
        ctx.stairs = stairs
        return product(x, weight, bias, stairs, *masks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, *masks = ctx.saved_tensors
        dweight, dx = torch.empty_like(weight), torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for (units, edge), mask in zip(ctx.stairs, masks, strict=True):
            g, above = grad[:, units], slice(units.stop, None)
            torch.mm(g.T, x[:, : edge.stop], out=dweight[units, : edge.stop])
            dweight[units, edge] *= mask
            dweight[units, edge.stop :] = 0
            if dx is not None:
                torch.mm(g, weight[units, edge] * mask, out=dx[:, edge])
                if units.stop < len(weight):
                    dx[:, edge].addmm_(grad[:, above], weight[above, edge])
        return dx, dweight, grad.sum(0) if ctx.needs_input_grad[2] else None, None, *(None for _ in masks)
