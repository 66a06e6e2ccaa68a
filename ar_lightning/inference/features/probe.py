"""Linear probes: how much of the classes a linear classifier finds in features that knew nothing of them.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes", 2016. Logistic regression on
standardised features; how strongly it is regularised is chosen by validation. A probe of a representation says little
by itself: it is set beside the same probe of the raw values, on the same examples.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from ar_lightning.inference.evaluate import standard_error

__all__ = ["Probe", "ProbeComparison", "Represented", "compare_probes"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)  # C of scikit-learn: the inverse of the regularisation
ITERATIONS = 500
BEYOND = 2  # standard errors

Split = tuple[np.ndarray, np.ndarray, np.ndarray]  # of training, validation and test examples


class Represented(NamedTuple):
    """Representations `(N, F)` of examples, their raw values with what else is read, and labels."""

    hidden: np.ndarray
    raw: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class Probe:
    """A linear classifier on test examples."""

    features: int  # number of its inputs
    accuracy: float  # fraction of the test examples that it classifies right
    accuracy_stderr: float  # standard error of that fraction
    C: float  # inverse strength of its regularisation, as chosen by validation


@dataclass(frozen=True)
class ProbeComparison:
    """A probe of representations beside one of raw values."""

    hidden: Probe  # the probe of the representations
    raw: Probe  # the probe of the raw values
    commonest: float  # accuracy of always answering the commonest class of the training examples
    difference: float  # accuracy of the first probe minus that of the second
    difference_stderr: float  # its standard error, over the test examples, each of which both probes classify
    examples: tuple[int, int, int]  # numbers of training, validation and test examples

    @property
    def verdict(self) -> str:
        """Say in one sentence which is better, and whether that is more than chance."""
        apart = f"{abs(self.difference):.4f} ± {self.difference_stderr:.4f}"
        better = "the hidden representation" if self.difference > 0 else "the raw values"
        if abs(self.difference) > BEYOND * self.difference_stderr:
            return f"Better: {better}, by {apart}, which is beyond {BEYOND} standard errors."
        if not self.difference:
            return f"No difference is shown: both classify as many of the {self.examples[2]:,} test examples right."
        verb = "is" if self.difference > 0 else "are"
        return f"No difference is shown: {better} {verb} ahead by {apart}, within {BEYOND} standard errors."


def compare_probes(train: Represented, valid: Represented, test: Represented) -> ProbeComparison:
    """Probe representations and raw values for the labels, which all examples must have, of two classes or more.

    Probes learn from `train`; `valid` chooses how strongly they are regularised; they are judged on `test`.
    """
    assert train.labels is not None and valid.labels is not None and test.labels is not None
    labels = train.labels, valid.labels, test.labels
    with tqdm(total=2 * len(STRENGTHS), desc="probing", leave=False, disable=None) as bar:
        hidden, right = _probe((train.hidden, valid.hidden, test.hidden), labels, bar)
        raw, raw_right = _probe((train.raw, valid.raw, test.raw), labels, bar)
    classes, counts = np.unique(train.labels, return_counts=True)
    commonest = float((test.labels == classes[counts.argmax()]).mean())
    difference = right.astype(float) - raw_right
    error = standard_error(torch.from_numpy(difference)) or 0.0
    n_train, n_valid, n_test = map(len, labels)
    return ProbeComparison(hidden, raw, commonest, float(difference.mean()), error, (n_train, n_valid, n_test))


def _probe(inputs: Split, labels: Split, bar: "tqdm[None]") -> tuple[Probe, np.ndarray]:
    """Return the probe of some inputs `(N, F)`, and which test examples `(N,)` it classifies right."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(inputs[0])
    x, x_valid, x_test = map(scaler.transform, inputs)
    y, y_valid, y_test = labels
    best, right, chosen = -1.0, np.zeros(len(y_test), bool), STRENGTHS[0]
    for C in STRENGTHS:
        model = LogisticRegression(C=C, max_iter=ITERATIONS)
        with warnings.catch_warnings():  # one that has not converged is judged by validation like any other
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        score = float((model.predict(x_valid) == y_valid).mean())
        if score > best:  # of equal ones, the most regularised
            best, right, chosen = score, model.predict(x_test) == y_test, C
        bar.update()
    error = standard_error(torch.from_numpy(right.astype(float))) or 0.0
    return Probe(x.shape[1], float(right.mean()), error, chosen), right
