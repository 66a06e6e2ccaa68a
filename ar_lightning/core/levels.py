"""Levels as real values and back."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["levels_of"]


def levels_of(z: "torch.Tensor", levels: int) -> "torch.Tensor":
    """Return the levels `0..levels-1` in whose intervals real values lie; beyond the ends, the outermost."""
    return ((z + 1) * (levels / 2)).floor().long().clamp(0, levels - 1)
