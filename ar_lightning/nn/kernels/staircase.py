"""`F.linear(x, weight * reads(degrees, below))` where degrees ascend, without the half of the weights that is masked.

What is not masked is a staircase. The product is done in blocks of units, each with the inputs that any of them
reads; only the inputs that some of them read and others do not need a mask.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Block", "Staircase", "reads", "staircase"]

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


class Block(NamedTuple):
    """A block of units of a layer. Of the units below, it reads the first ones.

    Args:
        units: number of units in the block.
        any: number of units below that any of them reads.
        all: number of units below that all of them read.
    """

    units: int
    any: int
    all: int


def staircase(degrees: Tensor, below: Tensor) -> list[Block]:
    """Divide a layer into blocks, given the ascending degrees of its units and of those below; a small one is one."""
    if len(degrees) * len(below) < LARGE:
        return [Block(len(degrees), len(below), 0)]
    ends = torch.searchsorted(below, degrees, right=True)
    return [Block(len(part), int(part[-1]), int(part[0])) for part in ends.tensor_split(BLOCKS)]


class Staircase(torch.autograd.Function):
    """The masked product, block by block; the gradient of masked weights is zero."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, degrees: Tensor, below: Tensor, blocks: list[Block]
    ) -> Tensor:
        out = x.new_empty(len(x), len(weight))
        for units, all_read, edge in stairs(blocks):
            torch.mm(x[:, all_read], weight[units, all_read].T, out=out[:, units])
            out[:, units].addmm_(x[:, edge], (weight[units, edge] * reads(degrees[units], below[edge])).T)
        ctx.save_for_backward(x, weight, degrees, below)
        ctx.blocks = blocks
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, degrees, below = ctx.saved_tensors
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        dweight = torch.empty_like(weight)
        for units, all_read, edge in stairs(ctx.blocks):
            mask, g = reads(degrees[units], below[edge]), grad[:, units]
            torch.mm(g.T, x[:, : edge.stop], out=dweight[units, : edge.stop])
            dweight[units, edge] *= mask
            dweight[units, edge.stop :] = 0
            if dx is not None:
                dx[:, all_read].addmm_(g, weight[units, all_read])
                dx[:, edge].addmm_(g, weight[units, edge] * mask)
        return dx, dweight, None, None, None


def stairs(blocks: list[Block]) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the units of each block, those below that all of them read, and those that only some read."""
    start = 0
    for block in blocks:
        yield slice(start, start + block.units), slice(block.all), slice(block.all, block.any)
        start += block.units
