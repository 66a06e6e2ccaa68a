"""Levels as real values and back."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["levels_of", "quantised", "scaled", "spread"]

Values = TypeVar("Values", "torch.Tensor", np.ndarray)


def levels_of(z: "torch.Tensor", levels: int) -> "torch.Tensor":
    """Return the levels `0..levels-1` in whose intervals real values lie; beyond the ends, the outermost."""
    return ((z + 1) * (levels / 2)).floor().long().clamp(0, levels - 1)


def scaled(position: Values, levels: int) -> Values:
    """Return positions on a scale of levels as real values in [-1, 1]; `k + 0.5` is the middle of level k."""
    return position * (2 / levels) - 1


def quantised(x: Values, levels: int) -> Values:
    """Quantise 8-bit values uniformly, to 0..15 for 16 levels."""
    return x if levels == 256 else x // (256 // levels)


def spread(level: "torch.Tensor", levels: int) -> "torch.Tensor":
    """Return levels as real values in [-1, 1], the lowest at -1 and the highest at 1."""
    return level * (2 / (levels - 1)) - 1
