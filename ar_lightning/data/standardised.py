"""Tables of real values: standardisation by the training rows, and seeded folds of cross-validation.

    x = offset + scale * z,    log p(x) = log p(z) - sum_d log scale_d

Models read z, of mean 0 and variance 1 over the rows that standardise; densities are reported in either unit.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits, hold_out

__all__ = ["Rows", "StandardisedTable", "fold_of"]

ROUNDING = 8 * float(np.finfo(np.float64).eps)  # relative error of a few sums


@dataclass(frozen=True)
class Rows:
    """The rows of a table in the units of its columns, split."""

    source: str  # where they are from and how they were split, for the regime
    columns: tuple[str, ...]  # names of the D columns
    x: dict[str, np.ndarray]  # `(N, D)` float64 of each split
    labels: dict[str, np.ndarray] | None = None  # `(N,)` int64 class of each row by split
    standardise_by: tuple[str, ...] = ("train",)  # splits whose mean and standard deviation standardise all of them


class StandardisedTable(Dataset):
    """A table whose columns are standardised. Subclasses read its `rows`.

    Columns that are constant in the rows that standardise, but for rounding, are left out: they have no density.
    """

    units: Literal["standardised", "original"]

    @abstractmethod
    def rows(self) -> Rows:
        """Read the rows."""

    @property
    def spec(self) -> DataSpec:
        rows, keep, offset, scale = self._statistics
        columns = tuple(rows.columns[d] for d in keep)
        table = Table(columns, tuple(offset.tolist()), tuple(scale.tolist()), self.units == "original")
        classes = 1 + max(int(y.max()) for y in rows.labels.values()) if rows.labels else 0
        return DataSpec((1, len(keep)), None, classes, medium=table)

    @property
    def regime(self) -> str:
        rows, keep, _, _ = self._statistics
        constant = [name for d, name in enumerate(rows.columns) if d not in set(keep.tolist())]
        without = f", without {', '.join(constant)} (constant)" if constant else ""
        by = " and ".join(rows.standardise_by)
        units = "original units" if self.units == "original" else f"units standardised by {by}"
        sizes = "/".join(str(len(rows.x[name])) for name in SPLITS)
        return f"{rows.source}{without}, {units}, {sizes}"

    def load(self) -> Splits:
        """Return the three splits, standardised, `(N, 1, D)` float32.

        Raises:
            UserError: single precision does not hold a value, or one is so far from the others that they become equal.
        """
        rows, keep, offset, scale = self._statistics
        labels, splits = rows.labels or {}, {}
        for name in SPLITS:
            with np.errstate(over="ignore"):
                z = ((rows.x[name][:, keep] - offset) / scale).astype(np.float32)
            for i, d in np.argwhere(~np.isfinite(z))[:1]:
                far = rows.x[name][i, keep[d]]
                raise self._refused(d, f"{far:g} is too far from the values of the training data for single precision")
            splits[name] = Split(z[:, None], labels.get(name))
        z = splits["train"].x[:, 0]
        for d, column in enumerate(keep):
            different = len(np.unique(rows.x["train"][:, column]))
            if different > 2 * len(np.unique(z[:, d])):
                far = rows.x["train"][np.abs(z[:, d]).argmax(), column]
                equal = "is so far from its other values that these become equal in single precision"
                raise self._refused(d, f"{far:g} {equal}")
        return splits

    def _refused(self, d: int, what: str) -> UserError:
        """Return what is wrong with a value of the column d of those that are kept."""
        rows, keep, _, _ = self._statistics
        what = f"column {rows.columns[keep[d]]}: {what}"
        return UserError(what, rows.source, "mend or remove that row, or leave the column out")

    @cached_property
    def _statistics(self) -> tuple[Rows, np.ndarray, np.ndarray, np.ndarray]:
        """The rows, the indices of the columns kept, and their offsets and scales."""
        rows = self.rows()
        reference = np.concatenate([rows.x[name] for name in rows.standardise_by])
        size = np.abs(reference).max(0)
        keep = np.flatnonzero(np.ptp(reference, axis=0) > ROUNDING * size)
        if not len(keep):
            raise UserError(f"{rows.source}: every column is constant, so there is nothing to model")
        reference, size = reference[:, keep], size[keep]
        offset, scale = reference.mean(0), reference.std(0)
        if not (np.isfinite(scale) & (scale > 0)).all():  # squares that double precision does not hold
            offset, scale = ((reference / size).mean(0) * size, (reference / size).std(0) * size)
        return rows, keep, offset, scale


def fold_of(parts: list[np.ndarray], fold: int, seed: int, where: object) -> dict[str, np.ndarray]:
    """Return the indices of each split where one part of the rows is the test split; valid is a tenth of the others."""
    rest = np.concatenate(parts[:fold] + parts[fold + 1 :])
    held = hold_out(len(rest), ["valid"], seed, where)
    return {**{name: rest[index] for name, index in held.items()}, "test": parts[fold]}
