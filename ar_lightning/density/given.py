"""What a density is given, as its model reads it: checked, standardised, and without what it does not read."""

from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, Given, as_condition

__all__ = ["check_given", "read_of"]


def read_of(cond: Given, model: Any, moments: Tensor | None, dtype: torch.dtype) -> Given:
    """Return the part of a condition that a model reads: labels alone, or a `Condition` if there is more.

    `moments` `(2, F)` are means and deviations of vectors `(B, F)`: the model reads these standardised.
    """
    labels, features, context = as_condition(cond)
    labels = labels if model.classes else None
    features = None if not model.features or features is None else features.to(dtype)
    if not model.context or context is None or moments is None:
        return labels if features is None else Condition(labels, features)
    mean, std = moments
    standardised = torch.where(std > 0, (context - mean) / std, 0.0)  # what never varied in training says nothing
    return Condition(labels, features, standardised.to(dtype))


def check_given(n: int, cond: Given, model: Any, sites: tuple[int, ...]) -> None:
    """Raise ValueError if the condition of n examples lacks what a model reads, or has classes it lacks."""
    labels, features, context = as_condition(cond)
    if model.features:
        shape: tuple[int, ...] = (n, model.features, *sites)
        if features is None or features.shape != shape:
            raise ValueError(f"this density reads features: give `cond`, a Condition with features {shape}")
    if model.context:
        shape = (n, model.context)
        if context is None or context.shape != shape:
            raise ValueError(f"this density reads vectors: give `cond`, a Condition with context {shape}")
        if not context.isfinite().all():
            raise ValueError("this density reads vectors: the context holds NaN or infinite values")
    if not model.classes:
        return
    if labels is None or labels.shape != (n,):
        raise ValueError(f"this density is conditional: give `cond`, {n} labels")
    if n and not (labels.min() >= 0 and labels.max() < model.classes):
        raise ValueError(f"expected labels in 0..{model.classes - 1}, got {labels.min()}..{labels.max()}")
