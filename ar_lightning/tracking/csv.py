"""metrics.csv: its rows, and which columns it has."""

import csv
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import naming, written
from ar_lightning.core.reading import read_metrics

__all__ = ["CSVMetrics"]


class CSVMetrics(Logger):
    """Writes a row of metrics for each step to a CSV file.

    Its columns are `step`, `epoch`, then all metrics that are logged, in the order of their first row, by name within a
    row. A new metric adds a column, for which the whole file is written anew.
    """

    name, version = "csv", ""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the config has its own file."""

    @rank_zero_only
    def resume_at(self, step: int) -> None:
        """Continue the file of an interrupted run, without the rows after its checkpoint.

        A damaged one does not keep the training from going on: it is put aside, and a new one begins.
        """
        try:
            self.columns, rows = read_metrics(self.path)
        except UserError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            print(f"{error}; it is kept as {aside.name}, and a new one begins", flush=True)
            with naming(self.path):
                self.path.replace(aside)
            self.columns, rows = read_metrics(self.path)
        self._rewrite([row for row in rows if row["step"] and int(row["step"]) <= step])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row: dict[str, Any] = {"step": step, **{key: float(value) for key, value in metrics.items()}}
        if "epoch" in row:
            row["epoch"] = int(row["epoch"])
        if row.keys() <= set(self.columns):
            with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        else:
            self.columns, rows = read_metrics(self.path)
            self._rewrite([*rows, row])

    def _rewrite(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.columns += sorted({key for row in rows for key in row} - set(self.columns))
        with written(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
