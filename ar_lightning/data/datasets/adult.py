"""Adult, or Census Income, of the UCI repository: a table of numbers and categories, the common one of generated rows.

Kohavi, "Scaling up the accuracy of naive-Bayes classifiers: a decision-tree hybrid", KDD 1996.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Dataset, Delegated, hold_out
from ar_lightning.data.download import ELSEWHERE, data_root
from ar_lightning.data.frame_file import Frame
from ar_lightning.data.missing import blanked
from ar_lightning.data.mixed import MixedRows, Roles
from ar_lightning.data.types import Wishes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ADULT_COLUMNS", "ADULT_NUMBERS", "Adult", "read_adult"]

ARCHIVE = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
ADULT_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
ADULT_COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
)  # fmt: skip


class Adult(Delegated):
    """Adult (census income): 48,842 rows of 6 numbers and 9 categories, some cells missing.

    The repository says which rows are for training and which for the test; a tenth of the former is held out as valid.

    Args:
        missing_level: a missing value is a level of a category, so that ordered models can read it; else it is neither
            read nor scored, which orderless models alone can do.
        given: columns that are given: read first, neither scored nor drawn, for p(the rest | these).
        label: a column that is the class y, for p(x | y), such as income.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    names: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": ("adult.data", "adult-train.csv"),
        "test": ("adult.test", "adult-test.csv"),
    }
    sizes: ClassVar[dict[str, int]] = {"train": 32561, "test": 16281}

    def __init__(
        self,
        *,
        missing_level: bool = False,
        given: list[str] | None = None,
        label: str | None = None,
        data_dir: str | None = None,
    ) -> None:
        self.wishes = Wishes(None, 1000, "level" if missing_level else "unread")
        self.roles = Roles(tuple(given or ()), label)
        self.data_dir = data_dir
        self.known: DataSpec | None = None  # of a density in whose terms the rows are read

    def in_terms_of(self, spec: DataSpec) -> Dataset:
        if spec != self.known:
            self.known = spec
            self.__dict__.pop("_rows", None)
        return self

    @cached_property
    def _rows(self) -> MixedRows:
        import pandas as pd

        folder = data_root(self.data_dir) / "tables"
        parts = {name: self._read(folder, name) for name in self.names}
        frame = blanked(pd.concat(parts.values(), ignore_index=True), ["?"])
        held = hold_out(self.sizes["train"], ["valid"], 0, folder)
        index = {**held, "test": np.arange(self.sizes["train"], len(frame))}
        source = "Adult, its own test rows, valid held out of train with seed 0"
        return MixedRows(Frame(frame, "row", None, ()), index, source, "Adult", self.wishes, self.roles, self.known)

    def _read(self, folder: Path, split: str) -> "pd.DataFrame":
        original, copy = self.names[split]
        path = next((path for path in (folder / original, folder / copy) if path.is_file()), None)
        if path is None:
            what = f"no {original} or {copy}; put the file {ARCHIVE}{original} there ({ELSEWHERE})"
            raise UserError(f"{folder}: {what}")
        frame = read_adult(path)
        if len(frame) != self.sizes[split]:
            raise UserError(f"{len(frame)} rows, not {self.sizes[split]}; get {ARCHIVE}{original}", path)
        return frame


def read_adult(path: Path) -> "pd.DataFrame":
    """Return the rows of a file of the repository, cells as they are but for the points that end lines of test rows.

    Raises:
        UserError: a number is none.
    """
    import pandas as pd

    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [[cell.strip() for cell in line.rstrip(".").split(",")] for line in lines]
    frame = pd.DataFrame(
        [row for row in rows if len(row) == len(ADULT_COLUMNS)], columns=[*ADULT_COLUMNS], dtype=object
    )
    try:
        return frame.astype(dict.fromkeys(ADULT_NUMBERS, np.int64))
    except ValueError as error:
        raise UserError(f"is not Adult: {error}; get {ARCHIVE}", path) from None
