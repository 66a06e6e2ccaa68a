"""Rotary positions: a pair of features is turned by an angle, so that products of two depend on how far apart they are.

Su et al., "RoFormer: Enhanced transformer with rotary position embedding", 2021.
"""

import torch
from torch import Tensor

__all__ = ["for_heads", "rotate", "turns"]


def turns(places: Tensor, features: int, base: float) -> Tensor:
    """Return the cosine and the sine, `(N, features // 2, 2)`, of the angles of N places `(N, axes)`.

    The pairs of features take the axes in turn. Those of one axis turn at rates from 1 down to 1 / base, almost.
    """
    pair, axes = torch.arange(features // 2), places.shape[1]
    rates = base ** -(pair // axes * (2 * axes / features))  # (pairs,)
    angles = places[:, pair % axes] * rates  # (N, pairs)
    return torch.stack([angles.cos(), angles.sin()], -1)


def for_heads(turn: Tensor, heads: int) -> Tensor:
    """Repeat turns `(..., 1 or 2, 1, pairs, 2)` for queries and keys and for all heads, `(..., 2, heads, pairs, 2)`.

    In one piece, so that a product runs over long lines, and not over a short one for each head.
    """
    return turn.expand(*turn.shape[:-4], 2, heads, *turn.shape[-2:]).contiguous()


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn features `(..., F)` by `turn` `(..., F // 2, 2)`, which broadcasts to them; an odd last one stays.

    Two features are the parts of a complex number: one product, where cosines and sines would take six operations.
    """
    pairs = turn.shape[-2]
    paired = x if x.shape[-1] == 2 * pairs else x[..., : 2 * pairs].contiguous()
    paired = paired.to(turn.dtype).unflatten(-1, (pairs, 2))
    if torch.compiler.is_exporting():  # to a compiler that knows no complex numbers
        (a, b), (cosine, sine) = paired.unbind(-1), turn.unbind(-1)
        product = torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1)
    else:
        product = torch.view_as_real(torch.view_as_complex(paired) * torch.view_as_complex(turn))
    turned = product.flatten(-2).type_as(x)
    return turned if x.shape[-1] == 2 * pairs else torch.cat([turned, x[..., 2 * pairs :]], -1)
