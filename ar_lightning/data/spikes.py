"""Where the values of a column lie: point masses, which far more rows have than the values around, and quantiles."""

import numpy as np

__all__ = ["knots_of", "spikes_of"]

ROWS, SHARE, RARER = 5, 0.03, 0.01  # that have a value, at least; the last where those around it occur once
NEAREST, PASSED, TIMES = 10, 2, 5  # so many times as often as all but two of the ten nearest values
HEAPED, HEAPED_SHARE = 30, 0.001  # rows that have a whole number, at least, where those around it are seldom
MOST = 64
KNOTS = 32


def spikes_of(values: np.ndarray, whole: bool = False) -> tuple[float, ...]:
    """Return the values that have a probability of their own, in rising order.

    These are had by 5 rows and 3 % of them at least (1 % where the values around occur once), and five times as often
    as all but two of the ten nearest values that occur: two, since a neighbour may be such a value itself, as 0 and 1
    are in a column of shares. Where no more than two other values occur, every value that is had so often is one: a
    density of the rest has no width.

    Of whole numbers, those are point masses too that 30 rows and a thousandth of them have, and five times as many as
    have a whole number around it on average, such as the few capital gains that occur among all that could.

    Args:
        values: `(N,)` float64, without missing ones.
        whole: they are whole numbers.

    Example:
        >>> spikes_of(np.array([0.0] * 30 + [0.1 * i for i in range(1, 70)]))
        (0.0,)
        >>> spikes_of(np.arange(100) // 5)  # all equally often
        ()
    """
    distinct, counts = np.unique(values, return_counts=True)
    found = []
    for k in np.flatnonzero(counts >= max(ROWS, RARER * len(values))).tolist():
        around = _around(distinct, counts, k)
        if counts[k] >= max(TIMES * around, (SHARE if around > 1 else RARER) * len(values)):
            found.append(k)
    if whole:
        heaped = np.flatnonzero(counts >= max(HEAPED, HEAPED_SHARE * len(values))).tolist()
        found += [k for k in heaped if k not in found and counts[k] >= TIMES * _a_unit(distinct, counts, k)]
    found = sorted(found, key=lambda k: -counts[k])[:MOST]
    return tuple(sorted(float(distinct[k]) for k in found))


def knots_of(values: np.ndarray) -> tuple[float, ...]:
    """Return values at evenly spaced quantiles, 32 at most and in rising order, none twice.

    Example:
        >>> knots_of(np.array([3.0, 1.0, 1.0, 7.0]))
        (1.0, 3.0, 7.0)
    """
    return tuple(np.unique(np.quantile(values, np.linspace(0, 1, KNOTS), method="nearest")).tolist())


def _around(distinct: np.ndarray, counts: np.ndarray, k: int) -> float:
    """Return how often the third most frequent of the ten values nearest to the k-th occurs; 0 without three."""
    near = _nearest(distinct, k)
    return float(np.sort(counts[near])[-1 - PASSED]) if len(near) > PASSED else 0.0


def _a_unit(distinct: np.ndarray, counts: np.ndarray, k: int) -> float:
    """Return how many rows there are to each whole number around the k-th, without the two most frequent."""
    near = _nearest(distinct, k)
    if len(near) < NEAREST:  # counts of rooms, not gains among all that could be
        return np.inf
    span = np.ptp(distinct[[*near, k]])
    return float(np.sort(counts[near])[:-PASSED].sum() / span)


def _nearest(distinct: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the ten values nearest to the k-th."""
    low, high = max(0, k - NEAREST), k + NEAREST + 1
    near = np.delete(np.arange(low, min(high, len(distinct))), k - low)
    return near[np.argsort(np.abs(distinct[near] - distinct[k]), kind="stable")[:NEAREST]]
