"""Amplitudes of sound as levels `0..K-1`, and back: evenly spaced, or by the mu-law.

The mu-law spaces levels evenly in `f(a) = sign(a) ln(1 + mu |a|) / ln(1 + mu)`, mu = K - 1: finely where amplitudes are
small, about as the ear does. It is the continuous form of ITU-T G.711, as van den Oord et al. 2016 (WaveNet) use it
with mu = 255. Level 0 is amplitude -1 and level K-1 is 1. K is mostly even, and then silence lies between two levels.
"""

from typing import Literal

import numpy as np

__all__ = ["MAX_LEVELS", "Encoding", "inverse_mu_law", "mu_law", "to_amplitudes", "to_levels"]

Encoding = Literal["mu_law", "linear"]
MAX_LEVELS = 65536  # what 16 bits tell apart


def to_levels(amplitude: np.ndarray, levels: int, encoding: Encoding) -> np.ndarray:
    """Return the nearest of 2 to 65536 levels, in the scale of the encoding: uint8 for up to 256 of them, else int32.

    Amplitudes may have any shape; what lies outside [-1, 1] is clipped.
    """
    clipped = np.clip(np.asarray(amplitude, np.float64), -1, 1)
    scaled = mu_law(clipped, levels - 1) if encoding == "mu_law" else clipped
    level = np.floor((scaled + 1) / 2 * (levels - 1) + 0.5)
    return level.astype(np.uint8 if levels <= 256 else np.int32)


def to_amplitudes(level: np.ndarray, levels: int, encoding: Encoding) -> np.ndarray:
    """Return the amplitudes, float64 in [-1, 1], that levels `0..levels-1` stand for."""
    scaled = 2 * np.asarray(level, np.float64) / (levels - 1) - 1
    amplitude = inverse_mu_law(scaled, levels - 1) if encoding == "mu_law" else scaled
    return np.clip(amplitude, -1, 1)  # the mu-law rounds to a little more


def mu_law(amplitude: np.ndarray, mu: float) -> np.ndarray:
    """Return `f(a)`, in [-1, 1] as `a` is.

    Example:
        >>> mu_law(np.array([-1, 0, 0.01, 1]), 255).round(3)
        array([-1.   ,  0.   ,  0.228,  1.   ])
    """
    return np.sign(amplitude) * np.log1p(mu * np.abs(amplitude)) / np.log1p(mu)


def inverse_mu_law(compressed: np.ndarray, mu: float) -> np.ndarray:
    """Return the inverse of `mu_law`."""
    return np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(mu)) / mu
