"""The table and the picture of `python -m benchmarks`."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["plot", "table", "tables"]

Measured = dict[str, Any]
COLUMNS = ("work", "reference, s", "ours, s", "times faster", "aim", "limit, s", "of the limit")


def tables(measured: Measured) -> str:
    """Return Markdown tables of everything that was measured."""
    parts = [table(COLUMNS, [_row(r) for r in measured.get("training", [])], "training step, forward and backward")]
    parts.append(table(COLUMNS, [_row(r) for r in measured.get("sampling", [])], "sampling"))
    for axis, title in (("side", "seconds for 16 samples, by side"), ("batch", "seconds for 28x28, by samples")):
        grown = measured.get("growth", {})
        head = [title, *next(iter(grown.values()), {axis: {}})[axis]]
        parts.append(table(head, [[name, *(f"{s:.3g}" for s in g[axis].values())] for name, g in grown.items()]))
    columns = (
        "WaveNet, 30 layers, one core: receptive field", "at once", "recomputed, samples/s", "ours, samples/s",
        "times faster", "real time at 8 kHz", "limit, samples/s",
    )  # fmt: skip
    rows = [
        [f"{r['receptive_field']:,}", f"{r['batch']}", f"{r['recomputed']:,.1f}", f"{r['samples_per_second']:,.0f}",
         f"{r['samples_per_second'] / r['recomputed']:,.0f}", f"{r['real_time']:.2f}", f"{r['limit']:,.0f}"]
        for r in measured.get("wavenet", [])
    ]  # fmt: skip
    parts.append(table(columns, rows))
    rows = [
        [r["work"], f"{r['bare']:.4g}", f"{r['trainer']:.4g}", f"{r['trainer'] / r['bare'] - 1:.1%}"]
        for r in measured.get("overhead", [])
    ]
    parts.append(table(("Trainer, data and metrics", "bare loop, s a step", "Trainer, s a step", "more"), rows))
    rows = [
        [s["work"], f"{s['reference']:.3g}", f"{s['ours']:.3g}", f"{ratio(s):.2g}"]
        for s in measured.get("start_up", [])
    ]
    parts.append(table(("start", "reference, s", "ours, s", "times faster"), rows))
    return "\n\n".join(filter(None, parts)) + "\n"


def ratio(row: Measured) -> float:
    return float(row["reference"] / row["ours"])


def _row(row: Measured) -> list[str]:
    aim = f"{row['aim']:g}" if row.get("aim") else ""
    seconds = [f"{row[name]:.4g}" for name in ("reference", "ours")]
    limit = f"{row['limit']:.2g}", f"{row['limit'] / row['ours']:.0%}"
    return [row["work"], *seconds, f"{ratio(row):.1f}", aim, *limit]


def table(columns: Any, rows: list[list[str]], title: str = "") -> str:
    """Return a Markdown table, or nothing where it has no rows; `title` stands in place of the first column's."""
    if not rows:
        return ""
    head = [title or columns[0], *columns[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def plot(measured: Measured, path: Path) -> None:
    """Draw the ratios beside their aims, and how sampling grows with an image and with the number of samples."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    bars, sides, batches = figure.subplot_mosaic([["bars", "side"], ["bars", "batch"]], width_ratios=[3, 2]).values()
    _bars(bars, [*measured.get("training", []), *measured.get("sampling", [])])
    if grown := measured.get("growth"):
        _lines(sides, {name: g["side"] for name, g in grown.items()}, "side of the image", "16 samples, s")
        x = sides.get_xticks()
        lowest = min(min(g["side"].values()) for g in grown.values())
        sides.plot(x, [lowest * (v / x[0]) ** 2 for v in x], "k:", label="linear in the pixels")
        _lines(batches, {name: g["batch"] for name, g in grown.items()}, "samples at once", "of 28x28, s")
        figure.legend(handles=sides.get_lines(), loc="outside lower right", ncols=3, fontsize=8)
    figure.suptitle(f"{measured['machine']}, PyTorch {measured['torch']}, {measured['precision']}", fontsize=10)
    figure.savefig(path, dpi=110)


def _bars(axes: Axes, rows: list[Measured]) -> None:
    rows = rows[::-1]
    names = [r["work"] for r in rows]
    axes.barh(names, [ratio(r) for r in rows], color=["#4878a8" if "samples" in r["work"] else "#d08770" for r in rows])
    for i, r in enumerate(rows):
        axes.text(1.08 * max(ratio(r), r.get("aim") or 0), i, f"{ratio(r):.1f}", va="center", fontsize=8)
        if r.get("aim"):
            axes.plot([r["aim"]] * 2, [i - 0.4, i + 0.4], "k-", linewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.9, 3 * max([ratio(r) for r in rows], default=10))
    axes.set_xlabel("times faster than the straightforward way (line: the aim)")
    axes.tick_params(axis="y", labelsize=8)


def _lines(axes: Axes, curves: dict[str, dict[str, float]], xlabel: str, ylabel: str) -> None:
    for name, curve in curves.items():
        axes.plot([float(x) for x in curve], list(curve.values()), "o-", label=name, markersize=3)
    ticks = [float(x) for x in next(iter(curves.values()))]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
