"""Training data of which some values are replaced at random: for a density of the background, not of what is in front.

Ren et al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019, section 3.
"""

import torch
from torch import Tensor

__all__ = ["mutated"]


def mutated(x: Tensor, fraction: float, levels: int) -> Tensor:
    """Replace each value, with probability `fraction`, by a level drawn uniformly from all; draws from the global
    generator.

    Args:
        x: levels `(B, C, *sites)`.
        fraction: of the values that are replaced, in the mean.
        levels: number K of them.
    """
    return torch.where(torch.rand(x.shape) < fraction, torch.randint(levels, x.shape).to(x.dtype), x)
