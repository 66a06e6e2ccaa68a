r"""The columns of a mixed table: each is read and scored by means of its own.

A network reads E features of every column and gives F features for every column, whatever its kind. Between, a column
has an encoder of its own and a head of its own:

    category        embedding of its level;           softmax over its K levels
    whole number    features of (n - offset) / scale; spikes, and a mixture of discretised logistics over all numbers
    real number     features of (v - offset) / scale; spikes, and a mixture of logistics

One row's score is the sum over its columns, in nats: of the logarithms of probabilities of categories, of whole numbers
and of spikes, and of densities, per unit of the column, of other real numbers. Bishop, "Mixture density networks"
(1994); Salimans et al., PixelCNN++ (2017) for discretised logistics; spikes are those of zero-inflated models (Lambert,
1992).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn

from ar_lightning.core.fields import PositiveFloat, PositiveInt
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood, at_least_float32, choose, tempered
from ar_lightning.likelihoods.numbers import Numbers
from ar_lightning.nn.precision import uncast

__all__ = ["Columns"]


class Columns(Likelihood):
    """Columns of a mixed table: categories by a softmax each, numbers by spikes and mixtures of logistics.

    References:
        Bishop, Mixture density networks (1994).
        Salimans, Karpathy, Chen & Kingma, PixelCNN++ (2017).

    Args:
        embedding: features E of a column that the network reads.
        features: features F that the network gives for a column; its head reads them.
        components: logistics M in the mixture of a number.
        floor: smallest scale of a logistic, in standard deviations of its column.
    """

    supports = ("mixed",)
    noise = 2  # which component, and where on it

    def __init__(
        self,
        spec: DataSpec,
        *,
        embedding: PositiveInt = 16,
        features: PositiveInt = 64,
        components: PositiveInt = 10,
        floor: PositiveFloat = 1e-2,
    ) -> None:
        super().__init__()
        if not isinstance(spec.medium, MixedTable):
            raise ValueError(f"the likelihood of columns needs a table of mixed columns, not {spec}")
        self.table, self.inputs, self.params = spec.medium, embedding, features
        kinds = [column.kind for column in self.table.columns]
        is_number = [kind != "category" for kind in kinds]
        self.numbers = Numbers(
            [column for column in self.table.columns if column.kind != "category"],
            embedding, features, components, floor,
        )  # fmt: skip
        self.categories: Any = nn.ModuleDict({
            str(d): Category(column, embedding, features)
            for d, column in enumerate(self.table.columns)
            if column.kind == "category"
        })  # fmt: skip
        self.number_of = {d: sum(is_number[:d]) for d, yes in enumerate(is_number) if yes}  # among the numbers
        # Numbers are computed together, before the categories.
        sites = torch.tensor([*self.number_of, *map(int, self.categories)])
        self.register_buffer("number_sites", sites[: len(self.number_of)], persistent=False)
        self.register_buffer("place", sites.argsort(), persistent=False)
        scored = torch.arange(len(kinds)) >= self.table.given
        self.register_buffer("scored", scored, persistent=False)
        levels = [column.gaps == "level" for column in self.table.columns]
        self.register_buffer("gap_is_value", torch.tensor(levels), persistent=False)

    number_sites: Tensor
    place: Tensor
    scored: Tensor
    gap_is_value: Tensor

    def freeze_encoders(self) -> None:
        """Train no encoder, for a network that reads nothing."""
        for module in (self.numbers, *self.categories.values()):
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(name not in module.encoder)

    @contextmanager
    def without_gaps(self) -> Iterator[None]:
        """Draw no missing value meanwhile: each cell is drawn given that it is there."""
        parts = (self.numbers, *self.categories.values())
        for part in parts:
            part.draws_gaps = False
        try:
            yield
        finally:
            for part in parts:
                part.draws_gaps = True

    def unread(self, x: Tensor) -> Tensor:
        return x.isnan() & ~self.gap_is_value

    def encode(self, x: Tensor, site: int | Tensor | None = None) -> Tensor:
        x = x.float()[:, 0]  # (B, D), or one column (B, 1)
        if site is not None:
            return self._by_column(site, lambda d, i: self._encoded(d, x[i, 0]), len(x))[..., None]
        parts = [self.numbers.encode(x[:, self.number_sites])]  # (B, numbers, E)
        parts += [category.encode(x[:, int(d)])[:, None] for d, category in self.categories.items()]
        return torch.cat(parts, 1)[:, self.place].transpose(1, 2)  # (B, E, D)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        with uncast(params):  # rounding a logit to bfloat16 costs likelihood
            h, x = at_least_float32(params).transpose(1, 2), x[:, 0]  # (B, D, F), (B, D)
            h = h.to(self.numbers.dtype)
            parts = [self.numbers.log_prob(h[:, self.number_sites], x[:, self.number_sites])]
            parts += [c.log_prob(h[:, int(d)], x[:, int(d)])[:, None] for d, c in self.categories.items()]
            terms = torch.cat(parts, 1)[:, self.place]
        return terms.masked_fill(self.unread(x) | ~self.scored, 0.0)[:, None]

    def distribution(self, params: Tensor, x: Tensor) -> distributions.Distribution:
        raise ValueError("the columns of a mixed table have distributions of several kinds: see density.terms(x)")

    def sample(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float = 1.0,
        earlier: Tensor | None = None,
        site: int | Tensor | None = None,
    ) -> Tensor:
        if site is None:
            raise ValueError("the columns of a mixed table differ: say which site is drawn")
        h = at_least_float32(params).to(self.numbers.dtype)

        def drawn(d: int, rows: Tensor) -> Tensor:
            if d in self.number_of:
                return self.numbers.sample(h[rows], noise[rows].to(h.dtype), self.number_of[d], temperature)
            drawn: Tensor = self.categories[str(d)].sample(h[rows], noise[rows, 0].to(h.dtype), temperature)
            return drawn

        return self._by_column(site, drawn, len(params))

    def check(self, x: Tensor) -> None:
        for d, column in enumerate(self.table.columns):
            values = x[:, 0, d]
            values = values[~values.isnan()]
            if not values.isfinite().all():
                raise ValueError(f"column {column.name}: expected numbers, got infinite ones")
            whole = column.kind == "category" or column.is_whole
            if whole and not bool((values == values.round()).all()):
                raise ValueError(f"column {column.name}: expected whole numbers, got fractions")
            least = column.lowest if column.lowest is not None else -torch.inf
            low, high = (0, len(column.levels)) if column.kind == "category" else (least - column.offset, torch.inf)
            if values.numel() and not (values.min() >= low and values.max() < high):
                raise ValueError(f"column {column.name}: expected values in {_range(column)}")

    def extra_repr(self) -> str:
        numbers = f"numbers={len(self.number_of)}, components={self.numbers.components}, floor={self.numbers.floor:g}"
        return f"categories={len(self.categories)}, {numbers}, embedding={self.inputs}, features={self.params}"

    def _encoded(self, d: int, x: Tensor) -> Tensor:
        """Return features `(B, E)` of values `(B,)` of one column."""
        if d in self.number_of:
            return self.numbers.encode(x[:, None], slice(self.number_of[d], self.number_of[d] + 1))[:, 0]
        read: Tensor = self.categories[str(d)].encode(x)
        return read

    def _by_column(self, site: int | Tensor, of: Callable[[int, Tensor], Tensor], n: int) -> Tensor:
        """Put together what `of` makes of the rows that are at each column; `site` is that of all, or of each row."""
        device = self.place.device
        if isinstance(site, int) or not n:
            return of(site if isinstance(site, int) else 0, torch.arange(n, device=device))
        rows = [(site == d).nonzero()[:, 0] for d in site.unique().tolist()]
        parts = [of(int(site[i[0]]), i) for i in rows]
        return torch.cat(parts)[torch.cat(rows).argsort()]


class Category(nn.Module):
    """One column of categories; a missing value may be one level more."""

    encoder = ("embedding.weight",)
    draws_gaps = True  # also a missing value, where that is a level

    def __init__(self, column: Column, embedding: int, features: int) -> None:
        super().__init__()
        self.named, self.levels = len(column.levels), len(column.levels) + (column.gaps == "level")
        self.embedding = nn.Embedding(self.levels, embedding)
        self.head = nn.Linear(features, self.levels)
        nn.init.normal_(self.head.weight, std=features**-0.5)
        nn.init.zeros_(self.head.bias)

    def level(self, x: Tensor) -> Tensor:
        """Return the levels of values `(B,)`; a missing one is the last, and where that is no level, any."""
        return x.nan_to_num(self.levels - 1).long()

    def encode(self, x: Tensor) -> Tensor:
        read: Tensor = self.embedding(self.level(x))
        return read

    def log_prob(self, h: Tensor, x: Tensor) -> Tensor:
        return -F.cross_entropy(self.head(h), self.level(x), reduction="none")

    def sample(self, h: Tensor, u: Tensor, temperature: float) -> Tensor:
        logits = tempered(self.head(h), temperature)
        level = choose(logits if self.draws_gaps else logits[:, : self.named], u).to(h.dtype)
        return level.masked_fill(level == self.named, torch.nan)


def _range(column: Column) -> str:
    """Return what the stored values of a column may be, in words."""
    if column.kind == "category":
        return f"0..{len(column.levels) - 1}, its levels"
    return f"{column.lowest:g} and above"
