"""Cross-validation over the folds of a table, beside a Gaussian in closed form: the protocol of RNADE's paper.

Uria, Murray & Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NIPS 2013, table 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal

from ar_lightning.config.build import build_dataset
from ar_lightning.data.base import Splits
from ar_lightning.data.datasets.uci import FOLDS

__all__ = ["cross_validate", "gaussian_log_likelihood"]


def gaussian_log_likelihood(splits: Splits) -> np.ndarray:
    """Return log p `(N,)` in nats of the test rows under a Gaussian, fitted to the rows for training and validation."""
    fit = np.concatenate([splits["train"].x, splits["valid"].x])[:, 0].astype(np.float64)
    test = splits["test"].x[:, 0].astype(np.float64)
    log_p: np.ndarray = multivariate_normal(fit.mean(0), np.cov(fit.T, bias=True)).logpdf(test)
    return log_p


def cross_validate(config: dict[str, Any], train: Callable[[dict[str, Any], int], dict[str, Any]]) -> dict[str, Any]:
    """Train on all folds and return the mean of their results.

    Args:
        config: as `load_config` returns it, of a table that has folds.
        train: returns the result of the config that it is given, which is of the fold it is given.

    Returns:
        Mean test nats with the standard error over folds, mean log-likelihoods, and those of every fold.
    """
    folds = []
    for fold in range(FOLDS):
        section = config["data"] | {"fold": fold}
        result = train(config | {"data": section}, fold)
        gaussian = gaussian_log_likelihood(build_dataset(section).load()).mean()
        folds.append({
            "fold": fold, "gaussian": round(float(gaussian), 4), "test": round(-result["test/nll"], 4),
            "valid": round(-result["val/nll"], 4), "test_examples": result["test_examples"],
            "epochs": result["epochs"], "seconds_training": result["seconds_training"], "regime": result["regime"],
        })  # fmt: skip
    test = [row["test"] for row in folds]
    common = ("experiment", "model", "data", "parameters", "machine", "versions", "git")
    return {
        **{key: result[key] for key in common if key in result},
        "regime": result["regime"].replace(f"fold {FOLDS - 1} of", "each fold of"),
        "test/nll": round(-float(np.mean(test)), 4),
        "test_examples": sum(row["test_examples"] for row in folds),
        "epochs": max(row["epochs"] for row in folds),
        "seconds_training": round(sum(row["seconds_training"] for row in folds), 1),
        "units": "nats per row, log-likelihood in standardised units",
        "folds": FOLDS,
        "mean": {
            kind: round(float(np.mean([row[kind] for row in folds])), 4) for kind in ("gaussian", "test", "valid")
        },
        "standard_error_of_test": round(float(np.std(test, ddof=1) / FOLDS**0.5), 4),
        "per_fold": folds,
    }
