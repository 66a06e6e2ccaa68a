"""Exact likelihood metrics: a float64 sum of nats and a count, so that every rank and batch weighs what it should."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["BitsPerDim", "NegativeLogLikelihood"]


class NegativeLogLikelihood(Metric):
    """Mean negative log-likelihood in nats per example, exact over batches of any size and over ranks.

    Example:
        >>> nll = NegativeLogLikelihood()
        >>> nll.update(torch.tensor([1.0, 2.0]))
        >>> nll.update(torch.tensor([6.0]))
        >>> nll.compute().item()
        3.0
    """

    full_state_update = False
    higher_is_better = False
    nats: Tensor
    examples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("examples", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, nll: Tensor) -> None:
        """Add the negative log-likelihoods `(B,)` of some examples, in nats."""
        self.nats += nll.double().sum()
        self.examples += nll.numel()

    def compute(self) -> Tensor:
        """Return nats per example."""
        return self.nats / self.examples


class BitsPerDim(NegativeLogLikelihood):
    """Mean negative log-likelihood in bits per dimension, of which an example has `dims`, channels included."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims

    def compute(self) -> Tensor:
        """Return bits per dimension."""
        return super().compute() / (self.dims * math.log(2))
