"""Sampling by the eager and the compiled engine in turn: `python -m benchmarks.engines`; compiles for minutes at first.

Median CPU time of a value, on one thread: of 28x28 binary images, of 32x32 images in colour, or of sequences of at most
1000 values. What was measured of other models before stays, also if it was on another machine. Writes engines.json.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ar_lightning.core.fields import Engine
from ar_lightning.core.files import write_json
from ar_lightning.density.density import Density
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.report import table
from benchmarks.works import WORKS, Work, density_of

__all__ = ["main", "report"]

NAMES = ("gated_pixelcnn", "pixelcnn", "row_lstm", "diagonal_bilstm", "pixel_transformer", "pixelcnnpp", "wavenet")
TEXT: dict[str, Any] = {"shape": (1, 256), "levels": 65}
TIMED = {name: WORKS[name] for name in NAMES} | {
    "transformer": Work("Transformer, 4 x 64, text", {"name": "transformer", "width": 64}, **TEXT),
    "rnn": Work("LSTM, 256 units, text", {"name": "rnn"}, **TEXT),
    "any_order_transformer": Work("Any-order transformer, 4 x 64", {"name": "any_order_transformer", "width": 64}),
    "deep_nade": Work("Deep NADE, 2 x 500", {"name": "deep_nade"}),
}
TIMED["wavenet"] = replace(TIMED["wavenet"], shape=(1, 1000))
ENGINES: tuple[Engine, ...] = ("eager", "compiled")


def main(argv: list[str] | None = None) -> None:
    """Measure each model and number of samples, print the table and write the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", choices=TIMED, default=list(TIMED), metavar="NAME", help=", ".join(TIMED)
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "engines.json")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    kept = json.loads(args.out.read_text()) if args.out.is_file() else {"rows": []}
    for name in args.models:
        density = density_of(TIMED[name]).eval()
        for n in args.batches:
            row = {"model": name, "work": TIMED[name].title, "samples": n, "machine": machine("cpu")}
            row |= compared(density, n, args.rounds)
            others = [r for r in kept["rows"] if (r["model"], r["samples"]) != (name, n)]
            rows = sorted([*others, row], key=lambda r: (list(TIMED).index(r["model"]), r["samples"]))
            kept = {"machine": kept.get("machine", row["machine"]), "torch": torch.__version__, "rows": rows}
            write_json(kept, args.out)
    print(report(kept))


def compared(density: Density, n: int, rounds: int) -> dict[str, float]:
    """Return the CPU microseconds of a value by each engine, and how many times faster the compiled one is."""
    found: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(rounds + 1):
        for engine in ENGINES:
            found[engine].append(seconds(density, n, engine))
    times = {engine: of[1:] for engine, of in found.items()}  # the first warms up
    medians = {str(engine): statistics.median(of) / density.spec.dims * 1e6 for engine, of in times.items()}
    return medians | {"faster": statistics.median(e / c for e, c in zip(*times.values(), strict=True))}


def report(measured: dict[str, Any]) -> str:
    """Return the table of the results in Markdown."""
    rows = [
        [r["work"], f"{r['samples']}", f"{r['eager']:.0f}", f"{r['compiled']:.0f}", f"{r['faster']:.1f}"]
        for r in measured["rows"]
    ]
    return table(("sampling", "at once", "eager, us a value", "compiled, us a value", "times faster"), rows)


def seconds(density: Density, n: int, engine: Engine) -> float:
    """Return the CPU time of n samples."""
    start = time.process_time()
    density.sample(n, engine=engine)
    return time.process_time() - start


if __name__ == "__main__":
    command.run(main)
