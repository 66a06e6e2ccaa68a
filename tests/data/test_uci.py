"""The UCI tables: RNADE's folds and dimensions, and the likelihood of a Gaussian as its paper reports it."""

from pathlib import Path

import numpy as np
import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Table
from ar_lightning.data.base import SPLITS
from ar_lightning.data.datasets.uci import BostonHousing, BreastCancer, Ionosphere, Parkinsons, RedWine, WhiteWine, Wine
from benchmarks.published.folds import gaussian_log_likelihood
from tests.support.files import one_line, real_data

# Rows, dimensions, the published mean test log-likelihood of a Gaussian, and what other folds may change about it.
PUBLISHED = {
    RedWine: (1599, 11, -13.18, 0.005),
    WhiteWine: (4898, 11, -13.20, 0.1),
    Parkinsons: (5875, 15, -10.85, 0.1),
    Ionosphere: (351, 32, -41.24, 0.5),
    BostonHousing: (506, 10, -11.37, 0.15),
}
KINDS = sorted(PUBLISHED, key=lambda kind: kind.__name__)


def rows_of(data: RedWine) -> dict[str, np.ndarray]:
    """The rows of each split in the units of the columns."""
    table = data.spec.medium
    assert isinstance(table, Table)
    return {name: np.array(table.offset) + np.array(table.scale) * s.x[:, 0] for name, s in data.load().items()}


@real_data
@pytest.mark.parametrize("kind", KINDS)
def test_dimensions_and_folds(kind: type[RedWine]) -> None:
    rows, dims, _, _ = PUBLISHED[kind]
    tests = []
    for fold in range(10):
        data = kind(fold=fold)  # type: ignore[arg-type]
        assert data.spec.shape == (1, dims) and data.spec.levels is None and data.spec.log_volume == 0
        x = rows_of(data)
        assert sum(len(x[name]) for name in SPLITS) == rows
        assert f"fold {fold} of" in data.regime and "valid a seeded tenth" in data.regime
        nine = np.concatenate([data.load()[name].x for name in ("train", "valid")])[:, 0].astype(float)
        np.testing.assert_allclose(nine.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(nine.std(0), 1, atol=1e-4)
        tests.append(x["test"])
        every = np.concatenate(list(x.values()))
    together = np.concatenate(tests)  # each row is in the test split of one fold
    np.testing.assert_allclose(np.sort(together, 0), np.sort(every, 0), rtol=1e-5, atol=1e-6)


@real_data
@pytest.mark.parametrize("kind", KINDS)
def test_attributes_left_out_correlate_with_one_that_is_kept(kind: type[RedWine]) -> None:
    x = np.concatenate(list(rows_of(kind()).values()))
    correlation = np.abs(np.corrcoef(x.T)) - np.eye(x.shape[1])
    assert correlation.max() <= 0.98


@real_data
@pytest.mark.parametrize("kind", KINDS)
def test_the_published_likelihood_of_a_gaussian(kind: type[RedWine]) -> None:
    _, _, published, tolerance = PUBLISHED[kind]
    found = [gaussian_log_likelihood(kind(fold=fold).load()).mean() for fold in range(10)]  # type: ignore[arg-type]
    assert np.mean(found) == pytest.approx(published, abs=tolerance)


@real_data
def test_red_wine_has_the_folds_of_the_paper() -> None:
    h5py = pytest.importorskip("h5py")
    data = RedWine(fold=7)
    assert "RNADE's own 10" in data.regime
    with h5py.File(data.folder / data.own_folds) as file:
        test = np.asarray(file["folds/8/tests/1/data"])
        nine = np.concatenate([file[f"folds/8/training/{i + 1}/data"] for i in range(9)])
    x = rows_of(data)
    np.testing.assert_allclose(x["test"], test, rtol=1e-5, atol=1e-7)
    mine = np.concatenate([x["train"], x["valid"]])
    np.testing.assert_allclose(np.sort(mine, 0), np.sort(nine, 0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "delimiter", "header"), [("a", ",", False), ("b", ";", True)])
def test_red_wine_without_its_folds_is_shuffled(name: str, delimiter: str, header: bool, tmp_path: Path) -> None:
    """As the archive publishes it, under a header and with semicolons, or as copies of it are."""
    x = np.random.default_rng(0).random((1599, 12)).round(3)
    lines = [delimiter.join(map(str, row)) for row in x.tolist()]
    names = [delimiter.join(f'"{column}"' for column in RedWine.names)] if header else []
    (tmp_path / "uci").mkdir()
    (tmp_path / "uci" / "winequality-red.csv").write_text("\n".join([*names, *lines]))
    folds = [rows_of(RedWine(fold=k, data_dir=str(tmp_path)))["test"] for k in range(10)]  # type: ignore[arg-type]
    together = np.concatenate(folds)
    np.testing.assert_allclose(np.sort(together, 0), np.sort(x[:, :11], 0), rtol=1e-5, atol=1e-6)
    assert "10 by a seeded shuffle" in RedWine(data_dir=str(tmp_path)).regime


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(UserError) as info:
        Ionosphere(data_dir=str(tmp_path)).load()
    message = one_line(info)
    assert "no ionosphere.data or ionosphere.csv" in message and "archive.ics.uci.edu" in message
    (tmp_path / "uci").mkdir()
    (tmp_path / "uci" / "housing.data").write_text(" ".join("1" * 14) + "\n")
    with pytest.raises(UserError) as info:
        BostonHousing(data_dir=str(tmp_path)).load()
    assert "1 rows of 14 attributes, not 506 of 14" in one_line(info)


@pytest.mark.parametrize(("kind", "shape", "classes"), [(Wine, (178, 13), 3), (BreastCancer, (569, 30), 2)])
def test_bundled_tables(kind: type[Wine], shape: tuple[int, int], classes: int) -> None:
    data = kind()
    splits = data.load()
    assert data.spec.shape == (1, shape[1]) and data.spec.classes == classes
    assert sum(len(s.x) for s in splits.values()) == shape[0]
    for split in splits.values():
        assert split.labels is not None and set(split.labels) == set(range(classes))
    train = splits["train"].x[:, 0].astype(float)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    assert "held out" in data.regime
