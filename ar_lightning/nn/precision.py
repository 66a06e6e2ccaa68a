"""Sums of many terms, and the logits of a likelihood, keep their precision under autocast."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["uncast"]


def uncast(x: Tensor) -> AbstractContextManager[Any]:
    """Compute in the precision of the weights, as if there were no autocast on the device of `x`."""
    # To disable what is not enabled would take as long as a small product, at every site that is drawn.
    on = torch.is_autocast_enabled(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if on else nullcontext()
