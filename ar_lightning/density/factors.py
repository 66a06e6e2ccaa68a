"""The factors of the chain rule: log p_k(x_i | x_<i) of every value, under member k of a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition, as_condition
from ar_lightning.likelihoods.base import Likelihood

__all__ = ["as_member", "condition_of", "dtype_of", "encode", "log_factors"]


def dtype_of(model: Any) -> torch.dtype:
    """Return the dtype that the network computes in."""
    return next(model.parameters()).dtype


def encode(model: Any, likelihood: Likelihood, x: Tensor) -> Tensor:
    """Return the network's inputs `(B, C * E, *sites)` for data values `(B, C, *sites)`."""
    return likelihood.encode(x).to(dtype_of(model))


def condition_of(model: Any, cond: Tensor | Condition | None) -> Tensor | Condition | None:
    """Return the part of a condition that the model reads: labels alone, or labels and features."""
    labels, features = as_condition(cond)
    labels = labels if model.classes else None
    return labels if not model.features or features is None else Condition(labels, features.to(dtype_of(model)))


@contextmanager
def as_member(model: Any, k: int) -> Iterator[None]:
    """Let the model be its member k."""
    before, model.member = model.member, k
    try:
        yield
    finally:
        model.member = before


def log_factors(model: Any, likelihood: Likelihood, x: Tensor, cond: Tensor | Condition | None, member: int) -> Tensor:
    """Return log p_k(x_i | x_<i, cond) of every value in nats, `(B, C, *sites)`, where k is the member."""
    with as_member(model, member):
        return likelihood.log_prob(model(encode(model, likelihood, x), condition_of(model, cond)), x)
