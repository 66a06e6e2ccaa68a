"""The table of a comparison: rows in order, the best of what is comparable, and the same cells in each kind of file."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from ar_lightning.core.output import markdown
from ar_lightning.inference.compare.published import Published, published_for
from ar_lightning.inference.compare.runs import DoneRun, Setting

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "Group", "Row", "as_csv", "as_markdown", "as_rich", "by_data", "columns", "footnotes", "is_number", "make_rows",
    "title_of",
]  # fmt: skip

Group = tuple["Row", ...]
SPARED = ("model", "samples/s", "parameters", "training", "published")  # columns, where a terminal is too narrow
FOLDED = 18  # characters of a name in a narrow terminal
PADDING = 3  # characters between columns


@dataclass(frozen=True)
class Row:
    """A run in the table."""

    run: DoneRun
    label: str  # its data, with a number where the runs have several settings on data of this name
    best: bool  # whether no comparable run has fewer nats, and there is another one
    published: Published | None  # what it may be set beside

    @property
    def difference(self) -> float | None:
        """The run's value less the published one, in the unit of the latter; below zero is better."""
        if self.published is None:
            return None
        return (self.run.nll if self.published.unit == "nats" else self.run.value) - self.published.value


class Cell(NamedTuple):
    """The text of a cell, and the value to sort it by; None comes last."""

    text: str
    value: float | str | None


def make_rows(runs: Sequence[DoneRun]) -> Group:
    """Return the rows, ordered by data, then setting, then nats."""
    settings = sorted({run.setting for run in runs})
    labels = {}
    for setting in settings:
        alike = [other for other in settings if other.data == setting.data]
        labels[setting] = f"{setting.data} #{alike.index(setting) + 1}" if len(alike) > 1 else setting.data
    whole = {setting: [r for r in runs if r.setting == setting and not r.pruned] for setting in settings}
    best = {setting: min((r.nll for r in found), default=None) for setting, found in whole.items() if len(found) > 1}
    return tuple(
        Row(
            run, labels[run.setting], not run.pruned and run.nll == best.get(run.setting),
            published_for(run.result, run.config),
        )
        for run in sorted(runs, key=lambda run: (run.setting, run.pruned, run.nll))
    )  # fmt: skip


def by_data(rows: Sequence[Row]) -> list[Group]:
    """Return the rows of each dataset in one version and split."""
    keys = dict.fromkeys(row.run.setting[:2] for row in rows)
    return [tuple(row for row in rows if row.run.setting[:2] == key) for key in keys]


def title_of(rows: Sequence[Row]) -> str:
    """Return the labels of the data of rows."""
    return ", ".join(dict.fromkeys(row.label for row in rows))


def columns(rows: Sequence[Row]) -> dict[str, list[Cell]]:
    """Return the cells of each column, without columns that would be empty."""
    cells = [_cells(row) for row in rows]
    every = {title: [row[title] for row in cells] for title in cells[0]}
    return {title: column for title, column in every.items() if any(cell.text for cell in column)}


def is_number(cells: Sequence[Cell]) -> bool:
    """Return True for a column of numbers."""
    return any(isinstance(cell.value, int | float) for cell in cells)


def _cells(row: Row) -> dict[str, Cell]:
    run, result, published = row.run, row.run.result, row.published
    parameters, seconds, rate = (result.get(k) for k in ("parameters", "seconds_training", "samples_per_second"))
    return {
        "run": Cell(run.name, run.name),
        "data": Cell(row.label, row.label),
        "nats": _with_error(run.nll, run.errors[0], 2),
        "bits/dim": Cell("", None) if run.bpd is None else _with_error(run.bpd, run.errors[1], 3),
        "model": Cell(run.model, run.model),
        "parameters": Cell("" if parameters is None else f"{parameters:,}", parameters),
        "training": Cell("" if seconds is None else _duration(seconds), seconds),
        "samples/s": Cell("" if rate is None else f"{rate:,.{0 if rate >= 10 else 2}f}", rate),
        "published": Cell("", None) if published is None else Cell(f"{published.value:.2f}", published.value),
        "difference": Cell("" if row.difference is None else f"{row.difference:+.2f}", row.difference),
        "notes": Cell("; ".join(run.notes), "; ".join(run.notes) or None),
    }


def _with_error(value: float, error: float | None, digits: int) -> Cell:
    text = f"{value:.{digits}f}"
    return Cell(text if error is None else f"{text} ± {error:.{digits}f}", value)


def _duration(seconds: float) -> str:
    """Write a time so that it can be read.

    Example:
        >>> [_duration(s) for s in (5.72, 87, 1671.6, 9000)]
        ['5.7 s', '87 s', '27.9 min', '2.5 h']
    """
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def footnotes(rows: Sequence[Row]) -> list[str]:
    """Return the data behind the rows, and the sources of published numbers."""
    settings: dict[str, Setting] = {row.label: row.run.setting for row in rows}
    lines = []
    for label, setting in settings.items():
        density = f"p(x | {setting.given})" if setting.given else "p(x)"
        lines.append(f"{label}: -log {density} of {setting.part}; {setting.regime}")
    if len(settings) > 1:
        lines.append("Likelihoods are comparable where the data column says the same, and nowhere else.")
    sources = dict.fromkeys(str(row.published) for row in rows if row.published)
    lines += [f"published: {source}" for source in sources]
    if sources:
        lines.append(
            "A difference is the run's -log p less the published one, so that below zero is better; the published "
            "model and its training may be of another size than the run's."
        )
    return lines


def as_rich(rows: Sequence[Row], width: int, title: str = "") -> "RenderableType":
    """Return the table for a terminal of that width, in characters, with notes and what found no room below it."""
    from rich import box
    from rich.console import Group as Stack
    from rich.table import Table
    from rich.text import Text

    shown = columns(rows)
    notes = shown.pop("notes", [])
    spared = []
    for name in SPARED:
        if _width(shown) > width and name in shown:
            del shown[name]
            spared.append(name)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, cells in shown.items():
        number = is_number(cells)
        table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row, line in zip(rows, zip(*shown.values(), strict=True), strict=True):
        table.add_row(*(Text(cell.text) for cell in line), style="bold" if row.best else "")
    below = [f"{row.run.name}: {note.text}" for row, note in zip(rows, notes, strict=False) if note.text]
    below += [f"not shown, for want of room: {', '.join(spared)}"] if spared else []
    return Stack(table, *map(Text, [*below, *footnotes(rows)]), Text())


def _width(shown: dict[str, list[Cell]]) -> int:
    """Return the characters of a line, where long names are folded."""
    longest = (max(len(name), *(len(cell.text) for cell in cells)) for name, cells in shown.items())
    return sum(min(length, FOLDED) + PADDING for length in longest)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table with the best in bold, and what is below it."""
    shown = columns(rows)
    lines = [f"| {' | '.join(shown)} |", f"|{'---|' * len(shown)}"]
    for row, cells in zip(rows, zip(*shown.values(), strict=True), strict=True):
        texts = [markdown(cell.text) for cell in cells]
        lines.append(f"| {' | '.join(f'**{t}**' if row.best and t else t for t in texts)} |")
    return "\n".join([*lines, "", *(f"- {markdown(line)}" for line in footnotes(rows)), ""])


def as_csv(rows: Sequence[Row]) -> str:
    """Return all rows with their exact numbers."""
    text, records = StringIO(), [_record(row) for row in rows]
    csv.writer(text, lineterminator="\n").writerows([records[0], *(record.values() for record in records)])
    return text.getvalue()


def _record(row: Row) -> dict[str, object]:
    run, published = row.run, row.published
    kept = ("parameters", "seconds_training", "samples_per_second", "epochs", "seed", "device")
    return {
        "run": run.name, "folder": str(run.folder), "model": run.model, **run.setting._asdict(), "best": row.best,
        "nll": run.nll, "nll_stderr": run.errors[0], "bpd": run.bpd, "bpd_stderr": run.errors[1],
        **{key: run.result.get(key) for key in kept},
        "published": published and published.value, "published_unit": published and published.unit,
        "difference": row.difference, "published_source": published and published.source,
        "notes": "; ".join(run.notes),
    }  # fmt: skip
