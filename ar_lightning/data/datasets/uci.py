"""Tables of the UCI repository: the five of RNADE's paper, by its protocol, and two that scikit-learn bundles.

RNADE's protocol: attributes with discrete values are left out, and one of each pair that correlates by more than 0.98;
10 folds, of which nine train and standardise and one is the test; log-likelihoods are in standardised units.

Uria, Murray & Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NIPS 2013, section 4.1.
Its folds are public for red wine alone; the others are cut here from a seeded shuffle. Which attributes it left out is
not published either: these choices give its numbers of dimensions, and its likelihoods of a Gaussian to a few percent.
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt
from ar_lightning.data.base import hold_out, shuffled
from ar_lightning.data.columns import Wanted, read_columns, read_hdf5
from ar_lightning.data.download import ELSEWHERE, data_root
from ar_lightning.data.standardised import Rows, StandardisedTable, fold_of

__all__ = ["BostonHousing", "BreastCancer", "Ionosphere", "Parkinsons", "RedWine", "WhiteWine", "Wine"]

FOLDS = 10
ARCHIVE = "https://archive.ics.uci.edu/ml/machine-learning-databases/"


class _RNADETable(StandardisedTable):
    """A table by RNADE's protocol; read from `uci/` in the folder of data files.

    Args:
        fold: which of the 10 folds is the test split; a seeded tenth of the other nine is held out as valid.
        units: what densities are reported in; published ones are in standardised units.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    title: ClassVar[str]
    url: ClassVar[str]  # of the file, after `ARCHIVE`
    names: ClassVar[tuple[str, ...]]  # of all attributes, in the file's order
    left_out: ClassVar[tuple[str, ...]]  # the attributes that are not modelled
    size: ClassVar[int]  # number of rows

    def __init__(
        self,
        *,
        fold: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] = 0,
        units: Literal["standardised", "original"] = "standardised",
        data_dir: str | None = None,
    ) -> None:
        self.fold = fold
        self.units = units
        self.data_dir = data_dir

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return data_root(self.data_dir) / "uci"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the attributes that are modelled."""
        return tuple(name for name in self.names if name not in self.left_out)

    def rows(self) -> Rows:
        folds, x, parts = self._folds()
        source = f"{self.title}, fold {self.fold} of {folds}, valid a seeded tenth of the other nine"
        splits = {name: x[index] for name, index in fold_of(parts, self.fold, 0, self.title).items()}
        # The published unit is that of the nine folds, whether or not some of them are held out here.
        return Rows(source, self.columns, splits, standardise_by=("train", "valid"))

    def _folds(self) -> tuple[str, np.ndarray, list[np.ndarray]]:
        """Return which folds these are, the attributes that are modelled `(N, D)`, and the indices of each fold."""
        there = self.folder / Path(self.url).name
        path = next((path for path in (there, there.with_suffix(".csv")) if path.is_file()), None)
        if path is None:
            files = " or ".join(dict.fromkeys((there.name, f"{there.stem}.csv")))
            raise UserError(f"{self.folder}: no {files}; put the file {ARCHIVE}{self.url} there ({ELSEWHERE})")
        # By number: copies differ in whether they have a header. Those left out may hold text.
        left_out = [str(d) for d, name in enumerate(self.names) if name in self.left_out]
        x = read_columns(path, Wanted(left_out)).x["data"]
        if x.shape != (self.size, len(self.columns)):
            found = f"{x.shape[0]} rows of {x.shape[1] + len(self.left_out)}"
            raise UserError(f"{found} attributes, not {self.size} of {len(self.names)}; get {ARCHIVE}{self.url}", path)
        return "10 by a seeded shuffle", x, np.array_split(shuffled(len(x), 0), FOLDS)


WINE = (
    "fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide",
    "total sulfur dioxide", "density", "pH", "sulphates", "alcohol", "quality",
)  # fmt: skip


class WhiteWine(_RNADETable):
    """White wine: 4898 rows of 11 chemical measurements, by RNADE's protocol."""

    title, url = "white wine", "wine-quality/winequality-white.csv"
    names, left_out, size = WINE, ("quality",), 4898


class RedWine(_RNADETable):
    """Red wine: 1599 rows of 11 chemical measurements, by RNADE's protocol, on its own folds where they are at hand."""

    title, url = "red wine", "wine-quality/winequality-red.csv"
    names, left_out, size = WINE, ("quality",), 1599
    own_folds: ClassVar[str] = "red_wine.hdf5"

    def _folds(self) -> tuple[str, np.ndarray, list[np.ndarray]]:
        path = self.folder / self.own_folds
        if not path.is_file():
            return super()._folds()
        folds = [read_hdf5(path, f"folds/{k + 1}/tests/1/data").astype(np.float64) for k in range(FOLDS)]
        x, ends = np.concatenate(folds), np.cumsum([len(fold) for fold in folds])
        if x.shape != (self.size, len(self.columns)):
            raise UserError(f"{path}: its folds are {x.shape}, not RNADE's ({self.size}, {len(self.columns)})")
        return "RNADE's own 10", x, np.split(np.arange(len(x)), ends[:-1])


class Parkinsons(_RNADETable):
    """Parkinson's telemonitoring: 5875 rows of 15 voice measurements and scores, by RNADE's protocol."""

    title, url = "Parkinson's telemonitoring", "parkinsons/telemonitoring/parkinsons_updrs.data"
    names = (
        "subject", "age", "sex", "test time", "motor UPDRS", "total UPDRS", "jitter (%)", "jitter (abs)",
        "jitter RAP", "jitter PPQ5", "jitter DDP", "shimmer", "shimmer (dB)", "shimmer APQ3", "shimmer APQ5",
        "shimmer APQ11", "shimmer DDA", "NHR", "HNR", "RPDE", "DFA", "PPE",
    )  # fmt: skip
    # Discrete: subject, age and sex. The others correlate with jitter DDP, with shimmer (dB) and with shimmer DDA.
    left_out = ("subject", "age", "sex", "jitter (%)", "jitter RAP", "shimmer", "shimmer APQ3")
    size = 5875


class Ionosphere(_RNADETable):
    """Ionosphere: 351 radar returns of 32 numbers each, by RNADE's protocol."""

    title, url = "ionosphere", "ionosphere/ionosphere.data"
    names = (*(f"{part} {i}" for i in range(1, 18) for part in ("real", "imag")), "class")
    left_out, size = ("real 1", "imag 1", "class"), 351  # binary, constant, text


class BostonHousing(_RNADETable):
    """Boston housing: 506 districts, 10 attributes of each, by RNADE's protocol."""

    title, url = "Boston housing", "housing/housing.data"
    names = (
        "CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT", "MEDV"
    )  # fmt: skip
    left_out, size = ("ZN", "CHAS", "RAD", "TAX"), 506  # whole numbers; ZN, all but a few


class _Bundled(StandardisedTable):
    """A table that scikit-learn bundles, with the classes that it was collected for.

    Args:
        units: what densities are reported in.
        split_seed: seed of the held-out splits.
    """

    loader: ClassVar[str]  # in sklearn.datasets

    def __init__(
        self, *, units: Literal["standardised", "original"] = "standardised", split_seed: NonNegativeInt = 0
    ) -> None:
        self.units = units
        self.split_seed = split_seed

    def rows(self) -> Rows:
        from sklearn import datasets

        bunch = getattr(datasets, self.loader)()
        index = hold_out(len(bunch.data), ["valid", "test"], self.split_seed, self.loader)
        return Rows(
            f"scikit-learn's {self.loader.removeprefix('load_')}, valid and test held out with seed {self.split_seed}",
            tuple(str(name).replace("_", " ") for name in bunch.feature_names),
            {name: bunch.data[i].astype(np.float64) for name, i in index.items()},
            {name: bunch.target[i].astype(np.int64) for name, i in index.items()},
        )


class Wine(_Bundled):
    """Wines of three growers bundled with scikit-learn: 178 rows of 13 measurements, labels, no download."""

    loader = "load_wine"


class BreastCancer(_Bundled):
    """Breast cancer bundled with scikit-learn: 569 rows of 30 measurements, 2 labels, no download."""

    loader = "load_breast_cancer"
