"""A survey of households (generated, no download): a mixed table whose true density is known, with or without holes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from math import log
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.fields import Decay, NonNegativeInt
from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits

__all__ = ["Survey"]

SIZES = {"train": 2000, "valid": 500, "test": 1000}
COLUMNS = (
    Column("region", "category", ("north", "east", "south", "west")),
    Column("owner", "category", ("no", "yes")),
    Column("children", "integer", offset=1.0, scale=1.2, lowest=0.0),
    Column("income", "real", offset=3.0, scale=1.0, spikes=(0.0,)),
    Column("rent", "real", offset=1.0, scale=0.4),
)
# By region: its share, that of owners and of people without an income, the means of an income and of a rent.
REGION = np.array([0.4, 0.3, 0.2, 0.1])
OWNER = np.array([0.3, 0.5, 0.6, 0.8])
NO_INCOME = np.array([0.1, 0.2, 0.25, 0.4])
INCOME = np.array([4.2, 3.2, 2.7, 2.2])
RENT = np.array([0.8, 0.5, 0.4, 0.3])
CHILDREN = np.array([0.6, 1.7])  # on average, of those who own no house and those who do
INCOME_SPREAD, RENT_SPREAD, SHARE = 0.7, 0.12, 0.15  # standard deviations; of an income that a rent grows by
Cells = Mapping[str, np.ndarray]  # of each column, in its own units, NaN where missing


class Survey(Dataset):
    """Households in a survey, generated: a mixed table whose true density is known, also where cells are missing.

    A region, whether they own their house, the number of children (Poisson, by owner), the income (none for some, which
    is a point mass, else Gaussian, by region) and the rent (Gaussian, which grows with the income, by region), in
    thousands. `true_log_prob` is exact: it sums over what is missing.

    Args:
        missing: probability that a cell is missing, whatever it holds.
        missing_level: a missing value is a level of a category and a point mass of a number; else it is neither read
            nor scored.
        given: columns that are given: read first, neither scored nor drawn; none of their cells are missing.
        label: a column that is the class y, for p(x | y).
        data_seed: seed of all that is drawn.
    """

    def __init__(
        self,
        *,
        missing: Decay = 0.0,
        missing_level: bool = False,
        given: list[str] | None = None,
        label: Literal["region", "owner"] | None = None,
        data_seed: NonNegativeInt = 0,
    ) -> None:
        self.missing, self.data_seed, self.label = missing, data_seed, label
        names = [column.name for column in COLUMNS if column.name != label]
        for name in given or ():
            if name not in names:
                raise UserError(f"data.given: no column '{name}'{did_you_mean(name, names)}")
        self.given = list(dict.fromkeys(given or ()))
        if len(self.given) == len(names):
            raise UserError("data.given: every column is given, so there is nothing to model; leave one out")
        self.gaps: Literal["none", "level", "unread"] = "level" if missing_level else "unread"

    @property
    def spec(self) -> DataSpec:
        columns = [c for c in self._columns if c.name in self.given or not self.missing]
        holed = {c.name: replace(c, gaps=self.gaps) for c in self._columns if c not in columns}
        header = tuple(column.name for column in COLUMNS)
        table = MixedTable(tuple(holed.get(c.name, c) for c in self._columns), len(self.given), header)
        labels = next((c.levels for c in COLUMNS if c.name == self.label), ())
        return DataSpec((1, len(table.columns)), None, len(labels), medium=table, labels=labels)

    @property
    def regime(self) -> str:
        test = self._splits["test"].x
        log_p = self.true_log_prob(test)
        parts = [f"survey: true entropy of test {-log_p.mean():.4f} nats a row"]
        parts += [f"given {', '.join(self.given)}"] if self.given else []
        parts += [f"classes of {self.label}"] if self.label else []
        holes = "a value" if self.gaps == "level" else "unread"
        parts += [f"{self.missing:.0%} of the cells missing, {holes}"] if self.missing else []
        return ", ".join([*parts, f"seed {self.data_seed}", "/".join(map(str, SIZES.values()))])

    def load(self) -> Splits:
        return dict(self._splits)

    def true_log_prob(self, x: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Return log p `(N,)` in nats of what is there in rows `(N, 1, D)`, given the columns that are given."""
        cells = {column.name: _values(x[:, 0, d], column) for d, column in enumerate(self._columns)}
        log_p = _log_prob(cells) - _log_prob({name: cells[name] for name in self.given})
        if self.gaps == "level" and self.missing:
            holes = np.isnan(x[:, 0, len(self.given) :]).sum(1)
            free = len(self._columns) - len(self.given)
            log_p = log_p + holes * log(self.missing) + (free - holes) * log(1 - self.missing)
        return log_p

    @property
    def _columns(self) -> list[Column]:
        """The columns in their order, those that are given first."""
        by_name = {column.name: column for column in COLUMNS if column.name != self.label}
        rest = [column for name, column in by_name.items() if name not in self.given]
        return [*(by_name[name] for name in self.given), *rest]

    @cached_property
    def _splits(self) -> Splits:
        random = np.random.RandomState(self.data_seed % 2**32)  # its stream is frozen, Generator's is not
        n = sum(SIZES.values())
        region = random.choice(len(REGION), n, p=REGION)
        owner = (random.rand(n) < OWNER[region]).astype(np.int64)
        income = np.where(random.rand(n) < NO_INCOME[region], 0.0, INCOME[region] + INCOME_SPREAD * random.randn(n))
        cells: dict[str, np.ndarray] = {
            "region": region, "owner": owner, "children": random.poisson(CHILDREN[owner]), "income": income,
            "rent": RENT[region] + SHARE * income + RENT_SPREAD * random.randn(n),
        }  # fmt: skip
        x = np.stack([_stored(cells[column.name], column) for column in self._columns], 1)[:, None]
        free = x[:, :, len(self.given) :]
        free[random.rand(*free.shape) < self.missing] = np.nan
        labels = cells[self.label] if self.label else None
        ends = np.cumsum([SIZES[name] for name in SPLITS])
        parts = {name: slice(end - SIZES[name], end) for name, end in zip(SPLITS, ends.tolist(), strict=True)}
        return {name: Split(x[part], None if labels is None else labels[part]) for name, part in parts.items()}


def _stored(values: np.ndarray, column: Column) -> np.ndarray:
    return ((values - column.offset) / column.unit).astype(np.float32)


def _values(z: np.ndarray, column: Column) -> np.ndarray:
    """Return stored cells in the units of their column, point masses exactly."""
    values: np.ndarray = column.offset + column.unit * z.astype(np.float64)
    for spike in column.spikes:
        values[z == _stored(np.array(spike), column)] = spike
    return values


def _log_prob(cells: Cells) -> np.ndarray:
    """Return log p `(N,)` of the cells that are there: the sum over regions and owners, the integral over incomes."""
    n = len(next(iter(cells.values()), np.zeros(1)))
    nothing = np.full(n, np.nan)
    region, owner, children, income, rent = (cells.get(column.name, nothing) for column in COLUMNS)
    terms = []
    for r in range(len(REGION)):
        for o, p_owner in enumerate((1 - OWNER[r], OWNER[r])):
            term = log(REGION[r] * p_owner) + _poisson(children, CHILDREN[o]) + _incomes(income, rent, r)
            possible = (np.isnan(region) | (region == r)) & (np.isnan(owner) | (owner == o))
            terms.append(np.where(possible, term, -np.inf))
    return np.logaddexp.reduce(terms, axis=0)


def _incomes(income: np.ndarray, rent: np.ndarray, r: int) -> np.ndarray:
    """Return log p of incomes and rents in a region."""
    none, some = log(NO_INCOME[r]), log(1 - NO_INCOME[r])
    whole = _gaussian(rent, RENT[r] + SHARE * np.nan_to_num(income), RENT_SPREAD)
    known = np.where(income == 0, none, some + _gaussian(income, INCOME[r], INCOME_SPREAD)) + whole
    spread = (RENT_SPREAD**2 + (SHARE * INCOME_SPREAD) ** 2) ** 0.5
    unknown = np.logaddexp(
        none + _gaussian(rent, RENT[r], RENT_SPREAD), some + _gaussian(rent, RENT[r] + SHARE * INCOME[r], spread)
    )
    return np.where(np.isnan(income), unknown, known)


def _gaussian(x: np.ndarray, mean: np.ndarray | float, spread: float) -> np.ndarray:
    """Return the log density, 0 where the value is missing."""
    z = (np.where(np.isnan(x), mean, x) - mean) / spread
    return np.where(np.isnan(x), 0.0, -0.5 * z**2 - log(spread) - 0.5 * log(2 * np.pi))


def _poisson(n: np.ndarray, rate: float) -> np.ndarray:
    """Return the log probability, 0 where the number is missing."""
    known = np.nan_to_num(n)
    factorials = np.cumsum(np.log(np.maximum(np.arange(int(known.max(initial=0)) + 1), 1)))
    log_p = known * log(rate) - rate - factorials[np.maximum(known, 0).astype(np.int64)]
    return np.where(np.isnan(n), 0.0, np.where(known < 0, -np.inf, log_p))
