"""Tables of mixed columns: every column's distribution sums to one, samples have it, and missing cells are summed out.

A sample is drawn from p if the places of its values in their conditional distributions are uniform, where a value that
has a probability takes a random place within it (the randomised form of Rosenblatt's transformation).
"""

import math
from dataclasses import dataclass, replace
from itertools import permutations

import pytest
import torch
from scipy.stats import kstest

from ar_lightning.core.medium import Column, MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.density.orderless import OrderlessDensity
from ar_lightning.density.step import Step
from ar_lightning.likelihoods.columns import Columns
from tests.invariants.test_causality import parameters
from tests.support.cases import COLUMNS, MIXED_CASES, Case, cover, each, each_statistic, random_values, seeded

FINE = torch.linspace(-5, 5, 601, dtype=torch.float64).sinh()
WHOLE = torch.arange(400, dtype=torch.float64)
SAMPLES = 500
SINGLE = cover([case for case in MIXED_CASES if case.members == 1 and not case.conditional], each_statistic)
GAPS = tuple(replace(column, gaps="level") for column in COLUMNS)
UNREAD = MixedTable((
    Column("a", "category", ("x", "y"), gaps="unread"),
    Column("b", "category", ("x", "y", "z"), gaps="unread"),
    Column("c", "category", ("x", "y"), gaps="unread"),
))  # fmt: skip
ORDERLESS = [case for case in MIXED_CASES if case.model in ("deep_nade", "any_order_transformer")]


def values_of(column: Column) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values of a column that have a probability, and those that have a density, as they are stored."""
    missing = [math.nan] if column.gaps == "level" else []
    if column.kind == "category":
        return torch.tensor([*range(len(column.levels)), *missing], dtype=torch.float64), FINE[:0]
    if column.is_whole:
        return torch.cat([WHOLE - column.offset, torch.tensor(missing, dtype=torch.float64)]), FINE[:0]
    spikes = [(spike - column.offset) / column.scale for spike in column.spikes]
    grid = FINE[~torch.isin(FINE, torch.tensor(spikes, dtype=torch.float64))]
    return torch.tensor([*spikes, *missing], dtype=torch.float64), grid


@dataclass
class Distribution:
    """The distribution of a column for each of B rows."""

    discrete: torch.Tensor  # values `(V,)` that have a probability
    p: torch.Tensor  # theirs `(B, V)`
    grid: torch.Tensor  # values `(G,)` that have a density
    below: torch.Tensor  # the mass below each `(B, G)`


def distributions(density: Density, params: torch.Tensor) -> list[Distribution]:
    """Return the distribution of every column by the parameters of each `(B, D, P)`."""
    columns = density.spec.medium.columns  # type: ignore[union-attr]
    values = [values_of(column) for column in columns]
    n = max(len(discrete) + len(grid) for discrete, grid in values)
    x = torch.zeros(n, 1, len(columns), dtype=torch.float64)
    for d, both in enumerate(values):
        x[: len(both[0]) + len(both[1]), 0, d] = torch.cat(both)
    every = params.transpose(1, 2).repeat_interleave(n, 0)
    p = density.likelihood.log_prob(every, x.repeat(len(params), 1, 1)).exp().view(len(params), n, -1)
    found = []
    for d, (discrete, grid) in enumerate(values):
        at = columns[d].offset + columns[d].scale * grid
        mass = p[:, len(discrete) : len(discrete) + len(grid), d]
        below = torch.cumulative_trapezoid(mass, at) if len(grid) else mass
        below = torch.nn.functional.pad(below, (1, 0))
        found.append(Distribution(discrete, p[:, : len(discrete), d], grid, below))
    return found


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("case", SINGLE, ids=str)
@torch.no_grad()
def test_every_column_sums_to_one(case: Case, gaps: bool) -> None:
    case = replace(case, spec=replace(case.spec, medium=MixedTable(GAPS if gaps else COLUMNS)))
    density = case.build()
    for column in distributions(density, parameters(density, random_values(case.spec, 8), None)):
        assert (column.p.sum(1) + column.below[:, -1] - 1).abs().max() < 2e-3, column


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("case", SINGLE, ids=str)
@torch.no_grad()
def test_samples_have_the_density(case: Case, gaps: bool) -> None:
    case = replace(case, spec=replace(case.spec, medium=MixedTable(GAPS if gaps else COLUMNS)))
    density = case.build()
    x = density.sample(SAMPLES, generator=seeded(1))
    for d, column in enumerate(distributions(density, parameters(density, x, None))):
        place = place_of(x[:, 0, d], column, torch.rand(SAMPLES, generator=seeded(d), dtype=torch.float64))
        assert kstest(place.numpy(), "uniform").pvalue > 1e-4, COLUMNS[d]


def place_of(x: torch.Tensor, of: Distribution, within: torch.Tensor) -> torch.Tensor:
    """Return where values `(B,)` lie in [0, 1]: those with a probability first, at random within it."""
    is_it = (x[:, None] == of.discrete) | (x.isnan()[:, None] & of.discrete.isnan())  # (B, V)
    place = ((of.p.cumsum(1) - of.p + of.p * within[:, None]) * is_it).sum(1)
    others = ~is_it.any(1)
    if not len(of.grid):
        assert not others.any(), "a value that has no probability was drawn"
        return place
    x = x[others]
    i = torch.searchsorted(of.grid, x.contiguous()).clamp(1, len(of.grid) - 1)
    part = (x - of.grid[i - 1]) / (of.grid[i] - of.grid[i - 1])
    low, high = (of.below[others].gather(1, k[:, None])[:, 0] for k in (i - 1, i))
    place[others] = of.p[others].sum(1) + low + part * (high - low)
    return place


def orderless(case: Case, table: MixedTable, **options: int) -> OrderlessDensity:
    spec = DataSpec((1, len(table.columns)), None, medium=table)
    density = Case(case.model, case.likelihood, spec, options).build()
    assert isinstance(density, OrderlessDensity)
    return density


def every_row(table: MixedTable) -> torch.Tensor:
    """All rows of a table of categories."""
    levels = [torch.arange(len(column.levels), dtype=torch.float64) for column in table.columns]
    return torch.cartesian_prod(*levels)[:, None]


@pytest.mark.parametrize("case", cover(ORDERLESS, lambda case: {case.model}), ids=str)
@torch.no_grad()
def test_what_is_missing_is_summed_out(case: Case) -> None:
    """log p of a row with gaps is that of the sum over all completions, in the order that visits the gaps last."""
    density, complete = orderless(case, UNREAD), every_row(UNREAD)
    for gaps in ([0], [1], [2], [0, 2], [1, 2]):
        x = complete.clone()
        x[:, 0, gaps] = torch.nan
        order = [d for d in density.model.order.tolist() if d not in gaps] + gaps
        params = density.model.in_orders(density.encode(complete), torch.tensor(order).expand(len(complete), -1))
        log_p = density.likelihood.log_prob(params, complete).flatten(1).sum(1)
        seen = [d for d in range(3) if d not in gaps]
        same = (complete[:, None, 0, seen] == complete[None, :, 0, seen]).all(2)
        summed = torch.where(same, log_p, -torch.inf).logsumexp(1)
        assert torch.allclose(density.log_prob(x), summed)
        assert density.terms(x)[:, 0, gaps].abs().max() == 0
    x[:] = torch.nan
    assert density.log_prob(x).abs().max() == 0
    # A gap is not read: whatever stands for it.
    some = density.log_prob(torch.tensor([[[0.0, torch.nan, 1.0]]], dtype=torch.float64))
    density.likelihood.categories["1"].embedding.weight += 1  # type: ignore[attr-defined]
    assert torch.equal(some, density.log_prob(torch.tensor([[[0.0, torch.nan, 1.0]]], dtype=torch.float64)))


@pytest.mark.parametrize("case", cover(ORDERLESS, lambda case: {case.model}), ids=str)
@torch.no_grad()
def test_training_on_gaps_is_unbiased(case: Case) -> None:
    """The mean of the objective over steps is the mean over orders of -log p(what is there)."""
    density = orderless(case, UNREAD)
    x = torch.tensor([[[1.0, torch.nan, 0.0]], [[0.0, 2.0, torch.nan]], [[1.0, 1.0, 1.0]], [[torch.nan] * 3]])
    nll = []
    for order in permutations(range(3)):
        first = density.visited_first(x)
        orders = torch.tensor(order).expand(len(x), -1)
        orders = orders.gather(1, first.gather(1, orders).argsort(dim=1, descending=True, stable=True))
        params = density.model.in_orders(density.encode(x), orders)
        nll.append(-density.likelihood.log_prob(params, x).flatten(1).sum(1))
    many = 4000
    drawn = density.loss(x.repeat(many, 1, 1), None, Step(3)).view(many, -1)
    error = (drawn.mean(0) - torch.stack(nll).mean(0)).abs()
    assert (error <= 5 * drawn.std(0) / many**0.5 + 1e-9).all()
    assert (drawn[:, 3] == 0).all()


@each(case for case in MIXED_CASES if not case.conditional)
@torch.no_grad()
def test_given_columns_are_neither_scored_nor_drawn(case: Case) -> None:
    given = MixedTable((*UNREAD.columns[:2], replace(UNREAD.columns[2], name="d"), UNREAD.columns[2]), 2)
    table = replace(given, columns=tuple(replace(column, gaps="none") for column in given.columns))
    spec = DataSpec((1, 4), None, 3, medium=table)
    density = case.on(spec).build()
    rows = every_row(table)
    totals = density.log_prob(rows).exp().view(6, 4).sum(1)
    assert torch.allclose(totals, torch.ones_like(totals)), "p(the rest | given) sums to one"
    assert density.terms(rows)[:, 0, :2].abs().max() == 0
    assert all(sorted(order[:2].tolist()) == [0, 1] for order in density.model.orders)
    mask = torch.tensor([True, True, False, False])
    drawn = density.sample(24, None, rows, mask[None, None], generator=seeded())
    assert torch.equal(drawn[..., :2], rows[..., :2])
    with pytest.raises(ValueError, match="2 given columns"):
        density.sample(2)
    if case.model != "independent":
        assert len(density.log_prob(rows).view(6, 4).unique(dim=0)) > 1, "what is given counts"


@each(case for case in MIXED_CASES if not case.conditional)
def test_no_rows_are_drawn(case: Case) -> None:
    assert case.build().sample(0).shape == (0, 1, 4)


def test_a_gap_is_an_error_where_all_is_read_in_one_order() -> None:
    density = Case("nade", "columns", DataSpec((1, 3), None, medium=UNREAD)).build()
    with pytest.raises(ValueError, match="a value is missing"):
        density.log_prob(torch.tensor([[[0.0, torch.nan, 1.0]]]))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([3.0, 0.0, 0.0, 0.0], r"column sex: expected values in 0\.\.2"),
        ([0.5, 0.0, 0.0, 0.0], "column sex: expected whole numbers"),
        ([0.0, 0.5, 0.0, 0.0], "column age: expected whole numbers"),
        ([0.0, -3.0, 0.0, 0.0], "column age: expected values in 0 and above"),
        ([0.0, 0.0, math.inf, 0.0], "column gain: expected numbers, got infinite ones"),
    ],
)
def test_values_outside_the_support_are_refused(x: list[float], message: str) -> None:
    likelihood = Columns(DataSpec((1, 4), None, medium=MixedTable(COLUMNS)))
    with pytest.raises(ValueError, match=message):
        likelihood.check(torch.tensor([[x]]))


def test_far_whole_numbers_have_a_probability() -> None:
    """No mass is rounded to zero, and scores are in units of the column however it is stored."""
    column = Column("n", "integer", offset=1000.0, scale=300.0)
    likelihood = Columns(DataSpec((1, 1), None, medium=MixedTable((column,))))
    x = torch.tensor([-1e6, -1e4, 0.0, 1.0, 1e4, 1e6]).view(-1, 1, 1)
    params = torch.zeros(6, 64, 1, requires_grad=True)
    score = likelihood.log_prob(params, x)
    assert score.isfinite().all() and (score < 0).all()
    score.sum().backward()
    assert params.grad is not None and params.grad.isfinite().all()
