"""Dropout with four draws from 64 random bits, since PyTorch's on CPUs takes longer than a small convolution.

The probability is rounded to a multiple of 2^-16, and what is kept is scaled by the rounded one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["dropout"]

STEPS = 2**16


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Return x with each number set to zero with probability p while training, the others scaled to keep the mean."""
    if not (training and p and x.is_cpu) or torch.compiler.is_compiling():
        return F.dropout(x, p, training)
    dropped = min(round(p * STEPS), STEPS - 1)  # of as many draws
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = torch.ge(bits[: x.numel()].view(x.shape), dropped - STEPS // 2, out=x.new_empty(x.shape))
    return x * kept.mul_(STEPS / (STEPS - dropped))
