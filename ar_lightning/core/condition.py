"""What a density may be conditional on: a label, features that are aligned with the sites, and a vector."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Condition", "Given", "as_condition", "repeated", "rows_of"]


class Condition(NamedTuple):
    """What is given of some examples.

    Args:
        labels: `(B,)` class of each, or None.
        features: `(B, F, *sites)`, or None.
        context: `(B, F)` numbers that hold for an example as a whole, in the units of the data, or None.
    """

    labels: Tensor | None = None
    features: Tensor | None = None
    context: Tensor | None = None


Given = Tensor | Condition | None  # labels alone, a condition, or nothing


def as_condition(cond: Given) -> Condition:
    """Return labels alone as a condition too."""
    return cond if isinstance(cond, Condition) else Condition(cond)


def rows_of(cond: Given, rows: Tensor) -> Condition:
    """Return the condition of some of the examples."""
    return Condition(*(None if t is None else t[rows.to(t.device)] for t in as_condition(cond)))


def repeated(cond: Given, n: int) -> Condition:
    """Return the condition of n examples: of those there are, over and over."""
    size = next((len(t) for t in as_condition(cond) if t is not None), 1)
    return rows_of(cond, torch.arange(n) % size)
