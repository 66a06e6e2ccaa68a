"""Tables of the probabilities of all levels, by which a value is coded."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["level_probs"]


def level_probs(density: Any, params: Tensor, earlier: Tensor | None = None, twice: bool = False) -> Tensor:
    """Return the probability of every level of one value, `(N, K)` float64, given what the network says `(N, P)`.

    Where the channels of a site are joint, `earlier` `(N, c)` are those of its group before; None for the first.
    They are normalised, or, with another rounding, `twice`.
    """
    c = 0 if earlier is None else earlier.shape[1]
    group = torch.zeros(len(params), density.spec.shape[0] if density.likelihood.joint else 1, 1, dtype=torch.long)
    if earlier is not None:
        group[:, :c] = earlier[..., None]
    distribution: Any = density.likelihood.distribution(params.double()[..., None], group)
    if twice:
        return distribution.probs[:, c, 0]  # type: ignore[no-any-return]
    return distribution.logits[:, c, 0].exp()  # type: ignore[no-any-return]
