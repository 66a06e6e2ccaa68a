"""Exact likelihood metrics: a float64 sum of nats and a count, so that every rank and batch weighs what it should."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from ar_lightning.core.medium import MixedTable
from ar_lightning.density.members import log_mean

__all__ = ["BitsPerDim", "ColumnLikelihood", "ColumnShare", "MixtureLikelihood", "NegativeLogLikelihood"]


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
    """Negative log-likelihood in bits per dimension, of which an example has `dims`, channels included.

    Examples of different lengths say how many they have: all nats are divided by all dimensions.
    """

    scored: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.add_state("scored", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, nll: Tensor, dims: Tensor | None = None) -> None:
        """Add the negative log-likelihoods `(B,)` of some examples, in nats, and the dimensions `(B,)` of each."""
        super().update(nll)
        self.scored += self.dims * nll.numel() if dims is None else dims.sum()

    def compute(self) -> Tensor:
        """Return bits per dimension."""
        return self.nats / (self.scored.double() * math.log(2))


class MixtureLikelihood(Metric):
    """Mean negative log-likelihood of the mixtures of the first 1, 2, 4, ... members and of all, exact as that is.

    Example:
        >>> metric = MixtureLikelihood(3)
        >>> metric.update(torch.tensor([[0.25], [0.75], [0.5]]).log())
        >>> {n: round(nats, 3) for n, nats in metric.by_size().items()}
        {1: 1.386, 2: 0.693, 3: 0.693}
    """

    full_state_update = False
    higher_is_better = False
    nats: Tensor
    examples: Tensor

    def __init__(self, members: int) -> None:
        super().__init__()
        self.sizes = sorted({members, *(1 << k for k in range(members.bit_length()))})
        self.add_state("nats", torch.zeros(len(self.sizes), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("examples", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, log_p: Tensor) -> None:
        """Add log p of some examples under each member, `(members, B)` in nats."""
        self.nats -= torch.stack([log_mean(log_p[:n]).double().sum() for n in self.sizes])
        self.examples += log_p.shape[1]

    def compute(self) -> Tensor:
        """Return nats per example of each mixture."""
        return self.nats / self.examples

    def by_size(self) -> dict[int, float]:
        """Return nats per example by the number of members, over all ranks."""
        return dict(zip(self.sizes, self.compute().tolist(), strict=True))


@dataclass(frozen=True)
class ColumnShare:
    """The share of a column of a mixed table in the score of a row; all of them add up to it."""

    name: str
    kind: str
    nll: float  # nats a row
    bits: float | None  # the same in bits, of a category
    cells: int  # that were scored: neither given nor missing


class ColumnLikelihood(Metric):
    """The share of each column of a mixed table in the mean negative log-likelihood, exact as that is.

    Example:
        >>> from ar_lightning.core.medium import Column
        >>> metric = ColumnLikelihood(MixedTable((Column("a", "real"), Column("b", "category", ("x", "y")))))
        >>> metric.update(torch.tensor([[1.0, 0.5], [3.0, 0.0]]), torch.tensor([[True, True], [True, False]]))
        >>> [(share.name, share.nll, share.cells) for share in metric.shares()]
        [('a', 2.0, 2), ('b', 0.25, 1)]
    """

    full_state_update = False
    higher_is_better = False
    nats: Tensor
    cells: Tensor
    examples: Tensor

    def __init__(self, table: MixedTable) -> None:
        super().__init__()
        self.table = table
        columns = len(table.columns)
        self.add_state("nats", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("cells", torch.zeros(columns, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("examples", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, nll: Tensor, scored: Tensor) -> None:
        """Add the terms `(B, D)` of some rows, in nats, and booleans `(B, D)`: which cells were scored."""
        self.nats += nll.double().sum(0)
        self.cells += scored.sum(0)
        self.examples += len(nll)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return nats a row, and the number of scored cells, of each column, `(D,)`."""
        return self.nats / self.examples, self.cells

    def shares(self) -> tuple[ColumnShare, ...]:
        """Return the shares of the columns that are not given, over all ranks."""
        nats, cells = self.compute()
        found = zip(self.table.columns, nats.tolist(), cells.tolist(), strict=True)
        return tuple(
            ColumnShare(column.name, column.kind, nll, nll / math.log(2) if column.kind == "category" else None, n)
            for column, nll, n in list(found)[self.table.given :]
        )
