"""Rotary positions: a pair of features is turned by an angle, so that products of two depend on how far apart they are.

Su et al., "RoFormer: Enhanced transformer with rotary position embedding", 2021.
"""

import torch
from torch import Tensor

__all__ = ["rotate", "turns"]


def turns(places: Tensor, features: int, base: float) -> Tensor:
    """Return the cosines and sines `(2, N, features // 2)` of the angles of N places `(N, axes)`.

    The pairs of features take the axes in turn. Those of one axis turn at rates from 1 down to 1 / base, almost.
    """
    pair, axes = torch.arange(features // 2), places.shape[1]
    rates = base ** -(pair // axes * (2 * axes / features))  # (pairs,)
    angles = places[:, pair % axes] * rates  # (N, pairs)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn features `(B, heads, n, F)` by `turn`, `(2, n, F // 2)` or `(2, B, n, F // 2)`; an odd last one stays."""
    cos, sin = turn.unsqueeze(-3)  # (1, n, pairs) or (B, 1, n, pairs)
    a, b, rest = x.tensor_split([cos.shape[-1], 2 * cos.shape[-1]], -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1).type_as(x)
