"""A density over the rows of a table that takes and gives pandas frames: `ar_lightning.load_table(RUN)`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.core.medium import Column, Table
from ar_lightning.data.frame_file import Frame
from ar_lightning.density.density import Density
from ar_lightning.inference.cells import cell_scores
from ar_lightning.inference.fill import Filled, draw_holes, fill, filled_once, holes_of
from ar_lightning.inference.rows import TableRows, label_column, rows_of_frame, table_of
from ar_lightning.media.cell_values import short
from ar_lightning.media.frames import DAY, in_file_order, to_frame
from ar_lightning.training.checkpoints import read_checkpoint, rebuild
from ar_lightning.training.locate import checkpoint_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableDensity", "load_table"]

BATCH = 256  # rows
SHOWN = 30  # columns, at most, of a density that is printed
NAMED = 48  # characters of the names of levels


def load_table(path: str | Path, device: str | torch.device = "cpu") -> "TableDensity":
    """Load a trained density over the rows of a table, to score, fill and draw pandas frames.

    Args:
        path: as of `load`.
        device: where its weights are put.

    Raises:
        UserError: no checkpoint there, one that cannot be read, or a density of something else than a table.
    """
    file = checkpoint_of(path)
    checkpoint = read_checkpoint(file)
    density = rebuild(checkpoint, file, device)
    try:
        return TableDensity(density, checkpoint[CHECKPOINT_KEY]["config"])
    except UserError as error:
        raise error.under(path) from None


class TableDensity:
    """A density over the rows of a table, whose rows are pandas frames in the units of the columns.

    Columns of a frame are found by their names, in any order; others are left out, and that is said. What is missing in
    a frame (None, NaN, NaT) is so to the density. Where a frame holds what a column cannot, a `UserError` names the
    row, by the frame's index, and the column.

    A conditional density, p(row | label), finds the labels in the column that it was trained with, else in `label`.

    Args:
        density: a trained density.
        config: of its run, which says what stands for a missing cell, and which column is the label; None for no such.

    Attributes:
        density: the density itself, of tensors.
        columns: what it knows of each column, in its order; those that are given come first.

    Raises:
        UserError: the density is not of rows, or reads vectors beside them.
    """

    def __init__(self, density: Density, config: dict[str, Any] | None = None) -> None:
        table = table_of(density.spec)
        if table is None:
            raise UserError(f"is no density of a table, but of {density.spec}", hint="take ar_lightning.load")
        if density.model.context or density.model.features:
            raise UserError("this density reads vectors beside the rows", hint="take ar_lightning.load")
        self.density, self.table = density, table
        label = label_column(config) or "label" if density.conditional else None
        self.config = {"data": {**(config["data"] if config else {}), "label": label}}
        self.label = label

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.table.columns

    def __repr__(self) -> str:
        lines = [("column", "type", "values")]
        for d, column in enumerate(self.columns[:SHOWN]):
            kind = f"{column.kind}, given" if d < self.table.given else column.kind
            lines.append((short(column.name, 24), kind, _values(column)))
        wide = [max(map(len, part)) for part in zip(*lines, strict=True)]
        texts = ["  ".join(text.ljust(n) for text, n in zip(line, wide, strict=True)).rstrip() for line in lines]
        more = [f"and {len(self.columns) - SHOWN} more"] if len(self.columns) > SHOWN else []
        return "\n".join([f"TableDensity: {self.density!r}", *(f"  {text}" for text in (*texts, *more))])

    @torch.no_grad()
    def log_prob(self, frame: "pd.DataFrame") -> "pd.Series":
        """Return log p of each row in nats, with the frame's index; of a conditional density log p(row | label).

        It is what the command `score` writes: per unit of the real columns, or of what the data says. Cells that are
        missing are left out of it where the density reads rows in any order: log p(what is there).

        Raises:
            UserError: the frame is not of what the density was trained for, or a cell is missing that it needs.
        """
        import pandas as pd

        rows = self._scored(frame)
        parts = [torch.empty(0)]
        for x, labels in self._batches(rows):
            parts.append(self.density.log_prob(x, labels).float().cpu())
        return pd.Series(torch.cat(parts).numpy(), frame.index, name="log_prob")

    def cells(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return -log p of each cell in nats, with the frame's index and the columns of the density.

        Where the density reads rows in any order, it is given all other cells of the row that are there; else those
        before it, in the order of the first member. It is NaN where a cell is missing or given.

        Raises:
            UserError: as `log_prob`.
        """
        import pandas as pd

        rows = self._scored(frame)
        labels = None if rows.labels is None else torch.from_numpy(rows.labels)
        scores = cell_scores(self.density, torch.from_numpy(rows.x), labels).numpy()
        medium = self.density.spec.medium
        if isinstance(medium, Table) and medium.original:
            scores = scores + np.log(np.asarray(medium.scale, np.float32))
        return pd.DataFrame(scores, frame.index, [*self.table.names])

    def sample(
        self, n: int, given: "pd.DataFrame | None" = None, seed: int = 0, temperature: float = 1.0
    ) -> "pd.DataFrame":
        """Draw n rows.

        Args:
            n: number of rows. A conditional density draws all classes in turn, and gives their labels, too.
            given: known cells of the rows, which are taken in turn: the columns that a density is given; of others, and
                labels, those that are there. A density in one order takes those that come first in it.
            seed: of the rows.
            temperature: below 1 sharpens, above 1 flattens each conditional.

        Raises:
            UserError: as `complete`; columns that the density is given are not there, or it does not know one.
        """
        if n < 1:
            raise UserError(f"n={n}: draw 1 row or more")
        density, table = self.density, self.table
        labels = torch.arange(n) % density.spec.classes if density.conditional else None
        if given is None:
            if table.given:
                names = ", ".join(table.names[: table.given])
                raise UserError(
                    f"this density is given {names}", hint="sample(n, given) takes a frame of these columns"
                )
            drawn = density.sample(
                n, labels, temperature=temperature, generator=torch.Generator().manual_seed(seed)
            ).cpu()
        else:
            rows = self._known(given)
            i = torch.arange(n) % len(rows.x)
            labels = labels if rows.labels is None else torch.from_numpy(rows.labels)[i]
            x, holes = torch.from_numpy(rows.x)[i], holes_of(density, table, rows, "given")[i]
            drawn = draw_holes(density, x, holes, labels, 1, temperature, seed)[:, 0]
        frame = to_frame(drawn, table)
        if labels is not None:
            frame = frame.assign(**{str(self.label): [density.spec.label_of(y) for y in labels.tolist()]})
        return in_file_order(frame, table)

    def complete(self, frame: "pd.DataFrame", seed: int = 0, temperature: float = 1.0) -> "pd.DataFrame":
        """Return a frame whose missing cells are drawn given what is there in their row, so that they fit each other.

        All else stays as it is. No cell is filled by a missing value, also where that is a value to the density.

        Raises:
            UserError: the frame is not of what the density was trained for, a cell that it is given is missing, or what
                is missing does not come last in its order; a density for all orders completes any.
        """
        return filled_once(self.density, self._rows(frame), "frame", temperature, seed)

    def fill(self, frame: "pd.DataFrame", n: int = 5, seed: int = 0, temperature: float = 1.0) -> Filled:
        """Return the best guess of each missing cell, n draws of each incomplete row, and how sure that is.

        They are frames: `filled`, with each missing cell filled on its own by its median, or its most frequent level;
        `draws`, by the row's index and the number of the draw, in which cells fit each other; and `spread`, by the
        row's index and the column, with what the cell was `filled` by, its `5%` and `95%` quantiles, and the `share` of
        draws that are what it was filled by. Medians, quantiles and shares are of 100 draws or more of each row.

        Raises:
            UserError: as `complete`.
        """
        import pandas as pd

        if n < 1:
            raise UserError(f"n={n}: take 1 draw or more")
        rows = self._rows(frame)
        filled, draws, spread = fill(self.density, rows, "frame", n, temperature, seed)
        names = frame.index.to_flat_index()

        def indexed(part: "pd.DataFrame", second: str) -> "pd.DataFrame":
            row = names[part.iloc[:, 0].to_numpy(int)]
            index = pd.MultiIndex.from_arrays([row, part.iloc[:, 1]], names=[frame.index.name, second])
            return part.iloc[:, 2:].set_axis(index)

        return Filled(filled, indexed(draws, "draw"), indexed(spread, "column"))

    def _rows(self, frame: "pd.DataFrame", where: str = "frame", holes: bool = True, labels: bool = True) -> TableRows:
        """Return a frame as rows that the density takes, with labels if it is conditional."""
        import pandas as pd

        if not isinstance(frame, pd.DataFrame):
            raise UserError(f"expected a pandas DataFrame, got {type(frame).__name__}", where)
        rows = rows_of_frame(Frame(frame, "row", None, ()), self.density.spec, where, self.config, holes)
        if self.label is None:
            return rows._replace(labels=None)
        if labels and rows.labels is None:
            raise UserError(f"no column '{self.label}'", where, "this density is of p(row | it)")
        return rows

    def _scored(self, frame: "pd.DataFrame") -> TableRows:
        """Return a frame as rows to score, which lack what the density can do without."""
        mixed = self.density.spec.support == "mixed"
        return self._rows(frame, holes=mixed and self.density.model.orderless)

    def _known(self, given: "pd.DataFrame") -> TableRows:
        """Return rows of which some columns are known, those that are given among them."""
        import pandas as pd

        if not isinstance(given, pd.DataFrame) or not len(given):
            raise UserError("expected a pandas DataFrame with rows", "given")
        names = [*map(str, given.columns)]
        for name in names:
            if name not in (*self.table.names, self.label):
                hint = nearest(name, self.table.names) or f"this density has {', '.join(self.table.names[:SHOWN])}"
                raise UserError(f"no column '{name}' in the density", "given", hint)
        for name in self.table.names[: self.table.given]:
            if name not in names:
                raise UserError(f"no column '{name}', which this density is given", "given", nearest(name, names))
        absent = [name for name in self.table.names if name not in names]
        return self._rows(given.assign(**dict.fromkeys(absent)), "given", labels=False)

    def _batches(self, rows: TableRows) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield rows and labels, where the density is."""
        device = self.density.device
        for i in range(0, len(rows.x), BATCH):
            labels = None if rows.labels is None else torch.from_numpy(rows.labels[i : i + BATCH]).to(device)
            yield torch.from_numpy(rows.x[i : i + BATCH]).to(device), labels


def _values(column: Column) -> str:
    """Return what is known of the values of a column, in a few words."""
    if column.kind == "category":
        shown = [short(level, 16) for level in column.levels]
        while len(shown) > 1 and sum(map(len, shown)) > NAMED:
            shown.pop()
        said = [f"{len(column.levels)}: {', '.join(shown)}{', ...' if len(shown) < len(column.levels) else ''}"]
    elif column.kind == "date":
        seconds = column.offset * (DAY if column.days else 1)
        said = [f"about {np.datetime64(round(seconds), 's').item():%Y-%m-%d}"]
    else:
        said = [f"about {float(f'{column.offset:.4g}'):.10g} ± {float(f'{column.scale:.2g}'):.10g}"]
        said += [] if column.lowest is None else [f"{column.lowest:g} and above"]
    said += [f"often {', '.join(f'{spike:.6g}' for spike in column.spikes)}"] * bool(column.spikes)
    gaps = {"level": "missing is a value", "unread": "may be missing", "none": ""}[column.gaps]
    return ", ".join(filter(None, (*said, gaps)))
