r"""The factors of the chain rule of a mixture: `p(x_i | x_<i)` of every value, as a distribution.

A mixture of K members that visit the values in one order has conditionals in that order too: those of its members,
weighted by how likely each member is given the values before,

    p(x_i | x_<i) = sum_k w_ik p_k(x_i | x_<i),    w_ik = p_k(x_<i) / sum_j p_j(x_<i)

Members with orders of their own share no `x_<i`, so that their mixture has no such factors.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily

__all__ = ["members_of", "mixture"]


def members_of(model: Any, member: int | None) -> Sequence[int]:
    """Return which members to look at, all where None; raise `ValueError` if these share no conditionals."""
    members, orders = model.members, model.orders
    if member is not None and not 0 <= member < members:
        raise ValueError(f"expected a member in 0..{members - 1}, got {member}")
    if member is None and members > 1 and not bool((orders == orders[0]).all()):
        raise ValueError(
            f"the {members} members of this density visit the values in different orders, so that their mixture "
            f"has no p(x_i | x_<i) in any one order: choose one, `member=0` to `member={members - 1}`"
        )
    return range(members) if member is None else [member]


def mixture(parts: list[Any], x: Tensor, order: Tensor) -> Distribution:
    """Return the conditionals `(B, C, *sites)` of a mixture at `x`, whose members have this one order `(D,)`."""
    weights = _log_weights(parts, x, order).unbind(-1)
    if isinstance(parts[0], Categorical):
        logits = torch.stack([w[..., None] + p.logits for w, p in zip(weights, parts, strict=True)])
        return Categorical(logits=logits.logsumexp(0), validate_args=False)
    # A mixture of mixtures is one of all their components.
    logits = torch.cat([w[..., None] + p.mixture_distribution.logits for w, p in zip(weights, parts, strict=True)], -1)
    components = [part.component_distribution for part in parts]
    loc, scale = (torch.cat([getattr(c, name) for c in components], -1) for name in ("loc", "scale"))
    component = type(components[0])(loc, scale, validate_args=False)
    return MixtureSameFamily(Categorical(logits=logits, validate_args=False), component, validate_args=False)


def _log_weights(parts: list[Any], x: Tensor, order: Tensor) -> Tensor:
    """Return log p(member | x_<i) of every value, `(B, C, *sites, K)`."""
    terms = torch.stack([part.log_prob(x) for part in parts], -1)
    ordered = terms.flatten(1, -2)[:, order].double()  # (B, D, K); a sum over many values needs the digits
    before = ordered.cumsum(1) - ordered
    weights = torch.empty_like(before).index_copy(1, order, before.log_softmax(-1))
    return weights.view_as(terms).to(terms.dtype)
