"""Anomaly scores, higher for examples less like the training data, and metrics of the scores.

The likelihood alone fails in a known way: a density may give simpler data of another kind a higher likelihood than its
own (Nalisnick et al., "Do deep generative models know what they don't know?", ICLR 2019). Each of the others is a
published repair.
"""

import math
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ar_lightning.core.spec import DataSpec
from ar_lightning.inference.anomaly.outliers import is_image
from ar_lightning.inference.codec.content import png
from ar_lightning.media.choose import media_of

__all__ = ["Metrics", "code_bits", "complexity", "independent_nll", "likelihood_ratio", "metrics_of", "typicality"]

PNG_FRAME = 57  # bytes of every PNG that are not its pixels: the signature, the header, and the frames of the chunks
RATE = 0.95  # of the outliers that are found, where false alarms are counted
CHUNK = 2**22  # values counted at a time


class Metrics(NamedTuple):
    """Metrics of a score; outliers are the positives, the density's own examples the negatives.

    Args:
        auroc: probability that an outlier has the higher score; 0.5 by chance.
        aupr: average precision; the fraction of outliers by chance.
        fpr95: fraction of the own examples that are taken for outliers where 95% of the outliers are found.
    """

    auroc: float
    aupr: float
    fpr95: float


def metrics_of(own: np.ndarray, outliers: np.ndarray) -> Metrics:
    """Return the metrics of the scores of own examples `(N,)` and of outliers `(M,)`."""
    truth, score = np.repeat([0, 1], [len(own), len(outliers)]), np.concatenate([own, outliers])
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    first = int((true >= RATE).argmax())
    return Metrics(
        float(roc_auc_score(truth, score)), float(average_precision_score(truth, score)), float(false[first])
    )


def likelihood_ratio(nll: np.ndarray, background_nll: np.ndarray) -> np.ndarray:
    """Return `log p_background(x) - log p(x)` `(N,)` in nats: what is unlikely for more than its background.

    Ren et al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019.
    """
    return nll - background_nll


def complexity(nll: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return `-log2 p(x) - L(x)` `(N,)` in bits, where a lossless coder takes L(x) bits.

    Serra et al., "Input complexity and out-of-distribution detection with likelihood-based generative models", ICLR
    2020.
    """
    return nll / math.log(2) - bits


def typicality(nll: np.ndarray, entropy: float) -> np.ndarray:
    """Return `|-log p(x) - H|` `(N,)` in nats, H the mean of -log p of training examples: neither more nor less likely.

    Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models using typicality", 2019; for
    batches of one example.
    """
    return np.abs(nll - entropy)


def code_bits(x: np.ndarray, spec: DataSpec) -> np.ndarray | None:
    """Return how many bits a lossless coder takes for each example: optimised PNG for pictures, zlib for the rest.

    Args:
        x: levels `(N, C, *sites)`.
        spec: of the data.

    Returns:
        `(N,)`; None for real values, of which there is no such code. What all PNG files have in common is left out.
    """
    values = spec.without_noise()
    if values.levels is None:
        return None
    if is_image(spec):
        return 8.0 * np.array([len(png(torch.from_numpy(image), values)) - PNG_FRAME for image in x])
    kind = np.uint8 if values.levels <= 256 else np.uint16 if values.levels <= 65536 else np.uint32
    return 8.0 * np.array([len(zlib.compress(example.astype(kind).tobytes(), 9)) for example in x])


def independent_nll(train: np.ndarray, x: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Return -log p(x) `(N,)` in nats where every value is on its own: the plainest background model.

    Levels have their frequencies in the training data, counted from one; real values are Gaussian. Each site has its
    own distribution, except in sound and text, where each channel has one.

    Args:
        train: training examples `(M, C, *sites)`.
        x: examples `(N, C, *sites)`.
        spec: of the data.
    """
    train, x = (_columns(values, spec) for values in (train, x))
    levels = spec.without_noise().levels
    if levels is None:
        mean, std = train.mean((0, 2), dtype=np.float64), train.std((0, 2), dtype=np.float64).clip(1e-6)
        z = (x - mean[:, None]) / std[:, None]
        density: np.ndarray = (0.5 * z**2 + np.log(std * math.sqrt(2 * math.pi))[:, None]).sum((1, 2))
        return density + spec.log_volume
    width = train.shape[1]
    counts = np.ones(width * levels)
    for bins in _bins(train, levels):
        counts += np.bincount(bins.ravel(), minlength=width * levels)
    table = counts.reshape(width, levels)
    nll = -np.log(table / table.sum(1, keepdims=True)).ravel()
    return np.concatenate([nll[bins].sum((1, 2)) for bins in _bins(x, levels)])


def _columns(x: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Return values as `(N, distributions, values of each)`."""
    return x.reshape(len(x), x.shape[1], -1) if media_of(spec).shift_invariant else x.reshape(len(x), -1, 1)


def _bins(x: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """Yield numbers of cells of a table `(distributions, levels)` that values are in, some examples at a time."""
    size = max(1, CHUNK // max(1, x[0].size))
    for start in range(0, len(x), size):
        yield x[start : start + size] + levels * np.arange(x.shape[1])[:, None]
