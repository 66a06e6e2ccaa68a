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

from ar_lightning.core.medium import MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.lengths import after_end
from ar_lightning.inference.codec.content import png
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import is_image

__all__ = ["Metrics", "code_bits", "independent_nll", "metrics_of", "scores_of"]

PNG_FRAME = 57  # bytes of every PNG that are not its pixels: the signature, the header, and the frames of the chunks
RATE = 0.95  # of the outliers that are found, where false alarms are counted
CHUNK = 2**22  # values counted at a time


class Metrics(NamedTuple):
    """Metrics of a score; outliers are the positives, the density's own examples the negatives."""

    auroc: float  # probability that an outlier has the higher score; 0.5 by chance
    aupr: float  # average precision; the fraction of outliers by chance
    fpr95: float  # fraction of the own examples that are taken for outliers where 95% of the outliers are found


def metrics_of(own: np.ndarray, outliers: np.ndarray) -> Metrics:
    """Return the metrics of the scores of own examples `(N,)` and of outliers `(M,)`."""
    truth, score = np.repeat([0, 1], [len(own), len(outliers)]), np.concatenate([own, outliers])
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    first = int((true >= RATE).argmax())
    values = roc_auc_score(truth, score), average_precision_score(truth, score), false[first]
    return Metrics(*map(float, values))


def scores_of(
    nll: np.ndarray, background_nll: np.ndarray, entropy: float, bits: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return the scores `(N,)` of examples by name, the likelihood first.

    Args:
        nll: -log p(x) `(N,)` in nats.
        background_nll: the same under a background density. The ratio, in nats, finds what is unlikely for more than
            its background (Ren et al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019).
        entropy: H, the mean of -log p of training examples. Typicality, in nats, is to be neither more nor less likely
            (Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models using typicality", 2019;
            for batches of one example).
        bits: what a lossless coder takes for each, `(N,)`; None for no complexity, which is in bits (Serra et al.,
            "Input complexity and out-of-distribution detection with likelihood-based generative models", ICLR 2020).
    """
    return {
        "likelihood": nll,
        "likelihood_ratio": nll - background_nll,
        **({} if bits is None else {"complexity": nll / math.log(2) - bits}),
        "typicality": np.abs(nll - entropy),
    }


def code_bits(x: np.ndarray, spec: DataSpec) -> np.ndarray | None:
    """Return the bits `(N,)` of a lossless code of levels `(N, C, *sites)`: optimised PNG for pictures, else zlib.

    What all PNG files have in common is left out. None for real values, of which there is no such code.
    """
    values = spec.without_noise()
    if values.levels is None:
        return None
    if is_image(spec):
        return 8.0 * np.array([len(png(torch.from_numpy(image), values)) - PNG_FRAME for image in x])
    examples = list(x)
    if values.end is not None:
        examples = [example[:, : int((example[0] != values.end).sum())] for example in examples]
    kind = np.uint8 if values.levels <= 256 else np.uint16 if values.levels <= 65536 else np.uint32
    return 8.0 * np.array([len(zlib.compress(example.astype(kind).tobytes(), 9)) for example in examples])


def independent_nll(train: np.ndarray, x: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Return -log p(x) `(N,)` in nats where every value is on its own: the plainest background model.

    Levels have their frequencies in the training examples `(M, C, *sites)`, counted from one; real values are Gaussian.
    Each site has its own distribution, except in sound and text, where each channel has one.
    """
    if isinstance(spec.medium, MixedTable):
        return _independent_cells(train[:, 0], x[:, 0], spec.medium)
    if spec.end is not None:
        return _independent_channels(train, x, spec.levels, spec.end)
    distributions = (train.shape[1], -1) if media_of(spec).shift_invariant else (-1, 1)
    train, x = (values.reshape(len(values), *distributions) for values in (train, x))
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


def _independent_channels(train: np.ndarray, x: np.ndarray, levels: int | None, end: int) -> np.ndarray:
    """Return -log p `(N,)` of sequences that end: what there is of a channel, by its frequency or as Gaussian."""
    there = [~after_end(torch.from_numpy(part), end).numpy() for part in (train, x)]
    found = np.zeros(len(x))
    for c in range(x.shape[1]):
        known, values = train[:, c][there[0][:, c]], x[:, c]
        if levels is None and c:
            terms = _gaussian(known, values)
        else:
            counts = 1 + np.bincount(known.astype(int), minlength=levels or 2)
            terms = -np.log(counts / counts.sum())[values.astype(int)]
        found += (terms * there[1][:, c]).sum(1)
    return found


def _gaussian(known: np.ndarray, x: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """Return -log p, elementwise, by the mean and deviation of known values; in units of which one is so many."""
    mean, std = (known.mean(dtype=np.float64), known.std(dtype=np.float64)) if len(known) else (0.0, 1.0)
    std = max(std, 1e-6)
    nll: np.ndarray = 0.5 * ((x - mean) / std) ** 2 + math.log(std * unit * math.sqrt(2 * math.pi))
    return nll


def _independent_cells(train: np.ndarray, x: np.ndarray, table: MixedTable) -> np.ndarray:
    """Return -log p `(N,)` of rows `(N, D)` of a mixed table: frequencies of categories, Gaussian numbers.

    What is given or missing is not scored.
    """
    nll = np.zeros(len(x))
    for d, column in list(enumerate(table.columns))[table.given :]:
        known, cells = train[:, d][~np.isnan(train[:, d])], x[:, d]
        if column.kind == "category":
            counts = 1 + np.bincount(known.astype(int), minlength=len(column.levels))
            terms = -np.log(counts / counts.sum())[np.nan_to_num(cells).astype(int)]
        else:
            terms = _gaussian(known, cells, column.unit)
        nll += np.where(np.isnan(cells), 0.0, terms)
    return nll


def _bins(x: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """Yield numbers of cells of a table `(distributions, levels)` that values are in, some examples at a time."""
    size = max(1, CHUNK // max(1, x[0].size))
    for start in range(0, len(x), size):
        yield x[start : start + size] + levels * np.arange(x.shape[1])[:, None]
