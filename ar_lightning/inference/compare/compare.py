"""Runs set beside each other: `python run.py compare RUN...`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ar_lightning.core.files import write_bytes
from ar_lightning.inference.compare.curves import all_curves_png
from ar_lightning.inference.compare.page import comparison_page
from ar_lightning.inference.compare.runs import read_runs
from ar_lightning.inference.compare.table import Group, as_csv, as_markdown, by_data, make_rows

__all__ = ["compare"]


def compare(
    runs: Iterable[str | Path], by: Literal["data"] | None = None, out: str | Path = "comparison"
) -> tuple[list[Group], dict[str, Path]]:
    """Compare runs by their likelihoods, curves and samples; return the rows of each table, and the files by kind.

    Nothing is written unless all runs can be read.

    Args:
        runs: run directories; a sweep directory stands for its complete trials.
        by: data for a table for each dataset; null for one table.
        out: folder of the page, the curves and the table as Markdown and CSV.

    Raises:
        UserError: a run is not done or cannot be read, or the folder cannot be written.
    """
    rows = make_rows(read_runs(runs))
    groups = by_data(rows)
    tables = groups if by else [rows]
    folder = Path(out).expanduser()
    contents = {
        "page": ("index.html", comparison_page(rows, by).encode()),
        "curves": ("curves.png", all_curves_png(groups)),
        "table": ("table.md", "\n".join(map(as_markdown, tables)).encode()),
        "numbers": ("table.csv", as_csv(rows).encode()),
    }
    for name, content in contents.values():
        write_bytes(content, folder / name)
    return tables, {kind: folder / name for kind, (name, _) in contents.items()}
