r"""Baselines from first principles: the chain rule written out as tables.

    p(x) = prod_i p(x_i | x_{i-k}, ..., x_{i-1}),    one row of logits for every site i and every context

With `n` binary sites, `independent` (k = 0) has n parameters, `markov` (k = 1) has 2n - 1, and `table` (k = n - 1), the
whole chain rule, has 2^n - 1: it can represent every distribution and generalises from none. Any network has
to beat them, and they are the exact ground truth of the tests. On K levels every binary choice becomes K-way.

Source: the chain rule; see the introduction of Larochelle & Murray, "The Neural Autoregressive Distribution
    Estimator" (2011).
"""

from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.core.fields import NonNegativeInt, Order
from ar_lightning.core.spec import Shapes
from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.streaming import Streaming, with_past

__all__ = ["ContextTable", "Independent", "Markov", "Table"]

MAX_ENTRIES = 2**26


class ContextTable(Streaming):
    """Logits looked up by position and by the `k` values before it; rows exist only for contexts that can occur."""

    offset: Tensor
    weights: Tensor

    def __init__(self, shapes: Shapes, k: int, classes: int = 0) -> None:
        super().__init__()
        if k and shapes.inputs == 1 and shapes.params > 1:
            raise ValueError("this model looks values up by their level: take likelihood.encoding=one_hot")
        self.k = k = min(k, shapes.tokens - 1)
        levels = max(shapes.inputs, 2)
        rows = [levels ** min(i, k) for i in range(shapes.tokens)]  # contexts of each site; Python integers are exact
        if sum(rows) * shapes.params * max(classes, 1) > MAX_ENTRIES:
            raise ValueError(
                f"a table over {shapes.dims} sites, {levels} levels and {k} sites of context has more than "
                f"{MAX_ENTRIES:,} entries: take fewer levels or sites, or a smaller memory"
            )
        self.register_buffer("offset", torch.tensor([0, *rows[:-1]]).cumsum(0), persistent=False)
        self.register_buffer("weights", levels ** torch.arange(k - 1, -1, -1), persistent=False)  # oldest value first
        self.logits = nn.Parameter(torch.zeros(max(classes, 1), sum(rows), shapes.params))

    def forward(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map the encoded previous values (B, n, E), one-hot or binary, to logits (B, n, P)."""
        previous = past.argmax(2) if past.shape[2] > 1 else past[..., 0].round().long()  # (B, n)
        n = past.shape[1]
        start = self.advance(n)
        rows = self.offset[start : start + n].expand(len(past), n)
        if self.k:
            window = with_past(self.past, previous, dim=1, n=self.k - 1).unfold(1, self.k, 1)  # (B, n, k)
            rows = rows + (window * self.weights).sum(2)
        return self.logits[0, rows] if cond is None else self.logits[cond[:, None], rows]


class LinearContext(Streaming):
    """Parameters that are linear in the `k` encoded values before a site: what takes the place of a table of contexts.

    Columns of several kinds have no levels in common. Of one category before it, this is a table too, of the rank that
    embeddings have.
    """

    def __init__(self, shapes: Shapes, k: int, classes: int = 0) -> None:
        super().__init__()
        self.k = min(k, shapes.tokens - 1)
        self.A = nn.Parameter(torch.zeros(shapes.tokens, shapes.token_inputs * self.k, shapes.params))
        self.b = nn.Parameter(torch.zeros(max(classes, 1), shapes.tokens, shapes.params))

    def forward(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        """Map the encoded previous values (B, n, E) to parameters (B, n, P)."""
        n = past.shape[1]
        start = self.advance(n)
        b = self.b[:1] if cond is None else self.b[cond]
        params = b[:, start : start + n].expand(len(past), -1, -1)
        if not self.k:
            return params
        window = with_past(self.past, past, dim=1, n=self.k - 1).unfold(1, self.k, 1).flatten(2)  # (B, n, E k)
        return params + torch.einsum("bni,nip->bnp", window, self.A[start : start + n])


class ContextModel(SequenceModel):
    """A model that is a `ContextTable` alone, or a `LinearContext` on columns of several kinds.

    Args:
        order: the order in which the sites are visited.
        order_seed: seed of a random order.
        conditional: condition on the data's labels.
    """

    encoding = "one_hot"
    lookup = True
    hidden_layers: tuple[str, ...] = ("table",)

    def __init__(
        self,
        shapes: Shapes,
        k: int,
        *,
        order: Order = "raster",
        order_seed: NonNegativeInt = 0,
        conditional: bool = False,
    ) -> None:
        super().__init__(shapes, order, order_seed, conditional)
        self.table = (LinearContext if shapes.mixed else ContextTable)(shapes, k, self.classes)

    def scan(self, past: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.table(past, cond)


class Independent(ContextModel):
    """Every site on its own: n parameters on binary data, a mixture a column on a table.

    Args:
        conditional: condition on the data's labels.
    """

    blind = True
    hidden_layers = ()

    def __init__(self, shapes: Shapes, *, conditional: bool = False) -> None:
        super().__init__(shapes, 0, conditional=conditional)


class Markov(ContextModel):
    """Order-k Markov chain over the sites, with its own transition table at every site, or sums on mixed columns.

    Args:
        memory: how many values back a site sees (the order k of the chain).
    """

    def __init__(self, shapes: Shapes, *, memory: NonNegativeInt = 1, **shared: Any) -> None:
        super().__init__(shapes, memory, **shared)


class Table(ContextModel):
    """The chain rule itself, 2^n - 1 parameters on n binary sites; n at most 16.

    Raises:
        ValueError: more than 16 sites.
    """

    max_sites = 16
    mixed = False

    def __init__(self, shapes: Shapes, **shared: Any) -> None:
        if shapes.dims > self.max_sites:
            raise ValueError(f"the table model takes at most {self.max_sites} sites, the data has {shapes.dims}")
        super().__init__(shapes, shapes.dims - 1, **shared)
