"""Plots: the curves of a run, how text is drawn, and which rows are drawn where there are too many."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ar_lightning.core.errors import first_line
from ar_lightning.core.files import written
from ar_lightning.core.reading import read_metrics

__all__ = ["curves_png", "drawn", "evenly", "plain_text"]

T = TypeVar("T")
UNITS = {"bpd": "bits/dim", "nll": "nats per example"}


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw names and other data as they are: `$` begins no formula, and what a font lacks is a box."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def drawn(what: object, draw: Callable[[], T]) -> T | None:
    """Return what `draw` returns; None, and a line that says why, where a picture cannot be drawn."""
    try:
        return draw()
    except Exception as error:  # whatever it is: no picture is worth the numbers it shows
        print(f"{what}: not drawn ({first_line(error)})", flush=True)
        return None


@plain_text()
def curves_png(metrics: Path, path: Path, title: str, unit: Literal["bpd", "nll"] = "bpd") -> None:
    """Plot training and validation bits/dim, or nats, over the epochs of a `metrics.csv`."""
    from matplotlib.figure import Figure

    _, rows = read_metrics(metrics)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for split, label in (("train", "train"), ("val", "valid")):
        points = [(int(row["epoch"]) + 1, float(value)) for row in rows if (value := row.get(f"{split}/{unit}"))]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 40 else "")
    axes.set(xlabel="epoch", ylabel=UNITS[unit], title=title)
    if axes.lines:
        axes.legend()
    axes.grid(alpha=0.3)
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def evenly(n: int, most: int) -> np.ndarray:
    """Return the numbers of at most so many of n rows, spread evenly over all of them."""
    k = min(n, most)
    return np.arange(k) * n // max(k, 1)
