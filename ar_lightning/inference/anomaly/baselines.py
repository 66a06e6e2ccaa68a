"""scikit-learn's detectors of odd rows, fitted to the rows that a density was trained on."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ar_lightning.core.errors import first_line
from ar_lightning.core.medium import MixedTable, Table

__all__ = ["Baseline", "baselines", "prepared"]

SEED = 0
COMPONENTS = 10  # of the mixture, at most
LEVELS = 100  # of a category that have a column of their own, at most


class Baseline(NamedTuple):
    """A detector and its scores, higher for odder rows."""

    name: str
    settings: str  # in words
    scores: np.ndarray | None  # (M,) of the rows to judge; None where it could not be fitted
    notes: tuple[str, ...]  # what it warned of


def baselines(train: np.ndarray, test: np.ndarray, medium: Table | MixedTable) -> Iterator[Baseline]:
    """Fit every detector to training rows `(N, 1, D)`, as they are stored, and score rows `(M, 1, D)`."""
    fit, judge = prepared(train[:, 0], test[:, 0], medium)
    for name, (settings, detector) in DETECTORS.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                fitted, more = detector(fit)
                scores = -fitted.score_samples(judge)  # scikit-learn's are higher for the usual
                problems = [] if np.isfinite(scores).all() else ["its scores are not finite"]
            except ValueError as error:
                more, problems = "", [f"could not be fitted ({first_line(error)})"]
        told = tuple(dict.fromkeys(f"{name}: {line}." for line in (*problems, *_lines(caught))))
        yield Baseline(name, settings + more, None if problems else scores, told)


def prepared(train: np.ndarray, test: np.ndarray, medium: Table | MixedTable) -> tuple[np.ndarray, np.ndarray]:
    """Return rows `(N, D)` and `(M, D)` as these detectors can read them.

    Numbers are standardised by the training rows and categories one-hot; a missing number becomes the median of the
    training rows, a missing category the most frequent.
    """
    columns = medium.columns
    is_category = np.array([not isinstance(column, str) and column.kind == "category" for column in columns])
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=LEVELS, sparse_output=False)
    categories = make_pipeline(SimpleImputer(strategy="most_frequent", keep_empty_features=True), one_hot)
    parts = [
        ("numbers", numbers, np.flatnonzero(~is_category)),
        ("categories", categories, np.flatnonzero(is_category)),
    ]
    both = ColumnTransformer([part for part in parts if len(part[2])], sparse_threshold=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found unknown categories")  # they have no column, which is as it should be
        return both.fit_transform(train.astype(np.float64)), both.transform(test.astype(np.float64))


def _lines(caught: list[warnings.WarningMessage]) -> Iterator[str]:
    """Yield what a detector warned of that tells about its scores; mixtures that were not chosen do not matter."""
    for warning in caught:
        if issubclass(warning.category, UserWarning) and "converge" not in str(warning.message):
            yield first_line(Exception(warning.message))


def _mixture(x: np.ndarray) -> tuple[GaussianMixture, str]:
    """Fit mixtures of 1 to 10 Gaussians and return the one of the least BIC."""
    tried = [GaussianMixture(k, random_state=SEED).fit(x) for k in range(1, min(COMPONENTS, len(x)) + 1)]
    best = min(tried, key=lambda mixture: mixture.bic(x))
    stopped = "" if best.converged_ else f", stopped after {best.n_iter_} iterations"
    return best, f": {best.n_components}{stopped}"


DETECTORS: dict[str, tuple[str, Callable[[np.ndarray], tuple[Any, str]]]] = {
    "IsolationForest": (
        f"scikit-learn's defaults, random_state={SEED}",
        lambda x: (IsolationForest(random_state=SEED).fit(x), ""),
    ),
    "LocalOutlierFactor": (
        "scikit-learn's defaults, novelty=True",
        lambda x: (LocalOutlierFactor(novelty=True).fit(x), ""),
    ),
    "GaussianMixture": (
        f"scikit-learn's defaults, random_state={SEED}, components of 1 to {COMPONENTS} chosen by BIC", _mixture,
    ),
}  # fmt: skip
