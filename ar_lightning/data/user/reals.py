"""Real values of users as float32: what that does not hold is named."""

import numpy as np

from ar_lightning.core.errors import UserError

__all__ = ["LIMITS", "as_float32", "check_finite", "moments_of"]

LIMITS = np.finfo(np.float32)  # of float32


def check_finite(x: np.ndarray, where: str) -> None:
    """Refuse values that are no numbers."""
    if len(bad := np.argwhere(~np.isfinite(x))):
        first = f"the first in {_place(bad[0])}"
        raise UserError(f"{where} holds NaN or infinite values, {first}", hint="remove or replace them")


def as_float32(x: np.ndarray, where: str, spread: bool = False) -> np.ndarray:
    """Return numbers `(N, ...)` as float32; a `UserError` names the first that is not finite, or beyond its range.

    With `spread`, refuse also values that differ somewhere, but no more as float32: too small, or far from 0.
    """
    if x.dtype.kind != "f":
        return np.ascontiguousarray(x, dtype=np.float32)
    check_finite(x, where)
    if len(beyond := np.argwhere(np.abs(x) > LIMITS.max)):
        value = f"{x[tuple(beyond[0])]:g} in {_place(beyond[0])}"
        raise UserError(f"{where} holds {value}, and float32 ends at {LIMITS.max:.2g}", hint="mend it, or rescale")
    if spread:
        low, high = x.min(0), x.max(0)
        same = (high > low) & (high.astype(np.float32) - low.astype(np.float32) < LIMITS.tiny)
        if len(lost := np.argwhere(same)):
            values = f"{low[tuple(lost[0])]:.3g} to {high[tuple(lost[0])]:.3g}"
            what = f"{where}, {_column(lost[0])}: float32 does not tell apart values of {values}"
            raise UserError(what, hint="standardise or rescale it")
    return np.ascontiguousarray(x, dtype=np.float32)


def moments_of(x: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return mean and standard deviation of each column of `(N, F)` float32; the latter is 0 where it never varies.

    Example:
        >>> moments_of(np.float32([[1, 5], [3, 5]]))
        ((2.0, 1.0), (5.0, 0.0))
    """
    constant = np.ptp(x, axis=0) == 0
    mean, deviation = (statistic.astype(float) for statistic in (x.mean(0, float), x.std(0, float)))
    return tuple(zip(mean.tolist(), np.where(constant, 0.0, deviation).tolist(), strict=True))


def _place(index: np.ndarray) -> str:
    return f"row {index[0]}, {_column(index[1:])}"


def _column(index: np.ndarray) -> str:
    return f"column {index[0]}" if len(index) == 1 else f"place ({', '.join(map(str, index))})"
