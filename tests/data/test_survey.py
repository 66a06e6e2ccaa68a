"""The survey: its density is a density, its marginals are sums and integrals of it, its rows follow it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable
from ar_lightning.data.datasets.survey import SIZES, Survey
from ar_lightning.data.user.table import TableFile
from tests.support.files import one_line

NAN = np.nan


def rows(data: Survey, *cells: Sequence[float]) -> np.ndarray:
    """Rows in the units of the columns as they are stored."""
    assert isinstance(data.spec.medium, MixedTable)
    columns = data.spec.medium.columns
    return np.array(
        [[[(v - c.offset) / c.unit for v, c in zip(row, columns, strict=True)]] for row in cells], np.float32
    )


@pytest.mark.parametrize("hidden", range(5))
def test_a_missing_cell_is_summed_over(hidden: int) -> None:
    """Also of two missing cells, where income and rent hang together."""
    data = Survey(missing=0.1)
    row = [1.0, 1.0, 2.0, 3.5, 1.2]
    grids = [np.arange(4.0), np.arange(2.0), np.arange(40.0), np.linspace(-4, 10, 8001), np.linspace(-2, 5, 8001)]
    for also in (None, 4):
        if also == hidden:
            continue
        known = [NAN if d == also else v for d, v in enumerate(row)]
        completed = rows(data, *([v if d == hidden else w for d, w in enumerate(known)] for v in grids[hidden]))
        p = np.exp(data.true_log_prob(completed))
        total = p.sum() if hidden < 3 else np.trapezoid(p, grids[hidden])
        if hidden == 3:  # the point mass of no income is no part of the integral
            total += np.exp(data.true_log_prob(rows(data, [0.0 if d == 3 else v for d, v in enumerate(known)])))[0]
        expected = np.exp(data.true_log_prob(rows(data, [NAN if d == hidden else v for d, v in enumerate(known)])))[0]
        assert total == pytest.approx(expected, rel=1e-3)


def test_nothing_known_has_probability_one() -> None:
    data = Survey(missing=0.5)
    assert data.true_log_prob(rows(data, (NAN,) * 5))[0] == pytest.approx(0)
    level = Survey(missing=0.5, missing_level=True)
    assert level.true_log_prob(rows(level, (NAN,) * 5))[0] == pytest.approx(5 * np.log(0.5))


def test_given_columns_are_divided_out() -> None:
    plain, given = Survey(), Survey(given=["rent", "owner"])
    one = plain.true_log_prob(rows(plain, (0, 1, 2, 3.0, 1.2))) - plain.true_log_prob(
        rows(plain, (NAN, 1, NAN, NAN, 1.2))
    )
    assert given.true_log_prob(rows(given, (1.2, 1, 0, 2, 3.0))) == pytest.approx(one)
    assert given.spec.given == 2 and given.spec.medium.names[:2] == ("rent", "owner")  # type: ignore[union-attr]


def test_rows_follow_the_density() -> None:
    """The mean of -log p is the entropy: that of other rows of it, within four standard errors."""
    means, errors = [], []
    for seed in range(2):
        data = Survey(data_seed=seed)
        log_p = np.concatenate([data.true_log_prob(split.x) for split in data.load().values()])
        assert len(log_p) == sum(SIZES.values()) and np.isfinite(log_p).all()
        means.append(log_p.mean())
        errors.append(log_p.std() / len(log_p) ** 0.5)
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    data = Survey()
    x = data.load()["train"].x
    uniform = rows(data, *zip(*(np.random.RandomState(0).permutation(x[:, 0, d]) for d in range(5)), strict=True))
    assert data.true_log_prob(x).mean() > 0.2 + np.maximum(data.true_log_prob(uniform), -50).mean()


OPTIONS: list[dict[str, Any]] = [
    {}, {"missing": 0.2}, {"missing": 0.2, "missing_level": True}, {"given": ["income"], "missing": 0.1},
    {"label": "owner"}, {"label": "region", "missing": 0.1, "given": ["rent"]},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_the_spec_says_what_rows_hold(options: dict[str, Any]) -> None:
    data = Survey(**options)
    spec, splits = data.spec, data.load()
    assert isinstance(spec.medium, MixedTable)
    for name, split in splits.items():
        assert split.x.shape == (SIZES[name], *spec.shape) and split.x.dtype == np.float32
        assert (split.labels is None) == (spec.classes == 0)
        for d, column in enumerate(spec.medium.columns):
            holes = np.isnan(split.x[:, 0, d])
            assert holes.any() == (column.gaps != "none")
            whole = split.x[~holes, 0, d]
            assert column.kind == "real" or (whole == whole.round()).all()
    assert str(round(-float(data.true_log_prob(splits["test"].x).mean()), 4)) in data.regime


def test_columns_are_named() -> None:
    with pytest.raises(UserError) as info:
        Survey(given=["incme"])
    assert "no column 'incme'; did you mean 'income'?" in one_line(info)
    with pytest.raises(UserError) as info:
        Survey(given=["owner", "children", "income", "rent"], label="region")
    assert "nothing to model" in one_line(info)


def test_a_table_without_a_file_is_the_survey() -> None:
    table, survey = (
        TableFile(missing_level=True, given=["rent"]),
        Survey(missing=0.1, missing_level=True, given=["rent"]),
    )
    assert table.spec == survey.spec and table.regime == survey.regime
    x = table.load()["test"].x
    assert np.array_equal(x, survey.load()["test"].x, equal_nan=True)
    assert np.array_equal(table.true_log_prob(x), survey.true_log_prob(x))  # type: ignore[arg-type]
