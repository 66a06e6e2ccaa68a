"""Rows of a file of which a column says which are the known rare cases."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError, nearest, refuse_pipe
from ar_lightning.core.medium import Column, MixedTable, Table
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import Split
from ar_lightning.data.columns import read_frame
from ar_lightning.data.frame_file import ALL, Frame
from ar_lightning.inference.inputs import read_inputs
from ar_lightning.inference.rows import read_as_text, rows_of_frame
from ar_lightning.media.cells import texts_of
from ar_lightning.media.frames import level_of

__all__ = ["Known", "rare_of", "read_known"]

SHOWN = 5  # values, at most, in a message


class Known(NamedTuple):
    """Rows, and which of them are the rare cases."""

    rows: Split  # as the density reads them
    labels: list[str]  # of each row
    rare: str  # the label of a rare case
    is_rare: np.ndarray  # (N,) bool
    notes: tuple[str, ...]  # what was taken for what


def read_known(
    path: Path, label: str, rare: str | None, spec: DataSpec, config: dict[str, Any], holes: bool = False
) -> Known:
    """Read the rows of a CSV, Parquet or Excel file, and which of them are the known rare cases.

    Args:
        path: the file, with the columns of the density and that of the labels.
        label: the column of the labels, by name or number from 0.
        rare: the label of a rare case, where all others are the usual ones; null for the rarer of two.
        spec: of the density, whose columns are read.
        config: of its run, which says what stands for a missing cell.
        holes: cells of a mixed table may be missing where the training data had none.

    Raises:
        UserError: the density is of no table, a column is not there, or the labels do not tell the rare cases.
    """
    table = spec.medium
    if not isinstance(table, (Table, MixedTable)):
        raise UserError(f"--labels {label}: known rare cases are rows of a table, and this density is for {spec}")
    own = table.columns if isinstance(table, Table) else table.names
    refuse_pipe(path)
    are_texts = read_as_text(table) if isinstance(table, MixedTable) else ALL.texts
    frame, place, _, told = read_frame(path, known=own, texts=are_texts)
    names = list(map(str, frame.columns))
    name = names[int(label)] if label not in names and label.isdecimal() and int(label) < len(names) else label
    if name not in names:
        hint = nearest(name, names) or f"; its columns are {', '.join(names)}"
        raise UserError(f"no column '{name}'", f"--labels: {path}", hint)
    if name in own:
        what = f"'{name}' is a column of this density, which would be told the rare cases by it"
        raise UserError(what, "--labels", f"train with data.drop=[{name}]")
    if names.count(name) > 1:
        raise UserError(f"two columns are named '{name}'", path, "rename one")
    texts = texts_of(frame.iloc[:, names.index(name)])
    for i in np.flatnonzero(texts.codes < 0)[:1]:
        raise UserError(f"{place} {frame.index[i]}, column {name}: a label is missing", path, "mend or remove that row")
    counts = np.bincount(texts.codes, minlength=len(texts.values))
    chosen = rare_of(dict(zip(texts.values, counts.tolist(), strict=True)), rare, f"--labels {name}")
    is_rare: np.ndarray = texts.codes == texts.values.index(chosen)
    taken = f"{_quoted(chosen)} is taken for the rare case, {is_rare.sum():,} of {len(is_rare):,} rows."
    if isinstance(table, MixedTable):
        for line in told:
            notice(f"{path}: {line}")
        others = Frame(frame.drop(columns=frame.columns[names.index(name)]), place, None, ())
        rows = Split(rows_of_frame(others, spec, str(path), config, holes).x)
    else:
        rows = read_inputs(path, spec).split
    return Known(rows, [texts.values[code] for code in texts.codes], chosen, is_rare, (taken,))


def rare_of(counts: dict[str, int], rare: str | None, where: str) -> str:
    """Return the label of the rare cases: that which is asked for, or the rarer one of two.

    Example:
        >>> rare_of({"'-1'": 1092, "'1'": 26}, None, "--labels class")
        "'1'"
        >>> rare_of({"no": 90, "yes": 5, "maybe": 5}, "yes", "--labels class")
        'yes'
    """
    values = sorted(counts, key=lambda value: -counts[value])
    some = ", ".join(f"{_quoted(v)} in {counts[v]:,} rows" for v in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)
    if len(values) == 1:
        raise UserError(f"all rows have one label, {_quoted(values[0])}", where, "give rows of both kinds")
    if rare is not None:
        among = Column("", "category", levels=tuple(values))
        # Some files have their labels in quotes, which a shell takes off.
        found = [k for text in (rare, f"'{rare}'", f'"{rare}"') if (k := level_of(text, among)) is not None]
        if not found:
            raise UserError(
                f"--rare {rare}: no row has that label", where, nearest(rare, values) or f"there are {some}"
            )
        return values[found[0]]
    if len(values) > 2:
        hint = "say which is the rare case: --rare VALUE; all others are then the usual ones"
        raise UserError(f"it has {len(values):,} values, {some}", where, hint)
    if counts[values[0]] == counts[values[1]]:
        raise UserError(f"neither of its values is the rarer one, {some}", where, "say which it is: --rare VALUE")
    return values[1]


def _quoted(value: str) -> str:
    return value if value[:1] in "'\"" and value[:1] == value[-1:] else f"'{value}'"
