"""Mixed tables: rows as CSV files with the header, types and categories of the data, and pictures of both."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.associations import associations_png
from ar_lightning.media.base import Files, Media
from ar_lightning.media.cell_values import Side, side_of
from ar_lightning.media.dates import as_texts
from ar_lightning.media.frames import from_frame, in_file_order, to_frame
from ar_lightning.media.marginals import marginals_png
from ar_lightning.media.mixed_pairs import mixed_pairs_png
from ar_lightning.media.plots import drawn, evenly

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MixedTables", "write_frame"]

ROWS = 20_000  # of data and of samples each, at most, in pictures
PICTURES: dict[str, Callable[[Side, Side, Path], Path]] = {  # by kind, which is also the end of the file's name
    "marginals": marginals_png,
    "pairs": mixed_pairs_png,
    "associations": associations_png,
}


class MixedTables(Media):
    """Rows `(N, 1, D)` of a mixed table, as they are stored: NaN where a cell is missing."""

    name = "table of mixed columns"
    unit = "columns"
    completions = 0
    compared = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec.medium, MixedTable)
        self.table = spec.medium

    def frame(self, x: Tensor, more: Mapping[str, Sequence[object]] | None = None) -> "pd.DataFrame":
        """Return rows as a frame in the types, units and order of the training file; `more` columns are labels."""
        return in_file_order(to_frame(x, self.table).assign(**dict(more or {})), self.table)

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write rows as `STEM.csv`, and beside data three pictures: `STEM-marginals.png` and so on."""
        path = stem.with_name(f"{stem.name}.csv")
        write_frame(self.frame(x), path, self.table)
        if data is None or not len(x):
            return {"samples": path}
        files: Files = {}
        sides = [side_of(rows[evenly(len(rows), ROWS)], self.table) for rows in (data, x)]
        for kind, draw in PICTURES.items():
            plot = stem.with_name(f"{stem.name}-{kind}.png")
            if drawn(plot, lambda draw=draw, plot=plot: draw(*sides, plot)):  # type: ignore[misc]
                files[kind] = plot
        return files | {"samples": path}

    def write_labelled(self, x: Tensor, labels: Tensor, path: Path, name: str | None = None) -> None:
        """Write rows and the class `(N,)` of each as CSV, in a column that is called as in the training file."""
        name = name or next((name for name in self.table.header if name not in self.table.names), "label")
        write_frame(self.frame(x, {name: [self.spec.label_of(y) for y in labels.tolist()]}), path, self.table)

    def difference(self, other: Media) -> str | None:
        """Return which columns differ in name or kind; levels, units and the order of the columns are translated."""
        assert isinstance(other, MixedTables)
        theirs = {column.name: column for column in other.table.columns}
        for column in self.table.columns:
            if column.name not in theirs:
                return f"no column {column.name}, which this density was trained for"
            if (found := theirs[column.name]).kind != column.kind and "category" in (found.kind, column.kind):
                return f"column {column.name} is {found.kind}, but this density was trained for {column.kind}"
        return None

    def translate(self, x: Tensor, other: Media) -> Tensor:
        """Map rows of a table whose levels, units or order of columns are others; a `UserError` says what has none."""
        assert isinstance(other, MixedTables)
        if self.table == other.table:
            return x
        return torch.from_numpy(from_frame(to_frame(x, other.table), self.table, "data", holes=True))


def write_frame(frame: "pd.DataFrame", path: Path, table: MixedTable | None = None) -> None:
    """Write a frame as CSV, in one step: missing cells are empty, dates as a table has them, else as ISO 8601 does."""
    for column in table.columns if table else ():
        if column.written and column.name in frame and frame[column.name].dtype.kind == "M":
            frame = frame.assign(**{column.name: as_texts(frame[column.name], column)})
    with written(path) as partial:
        frame.to_csv(partial, index=False)
