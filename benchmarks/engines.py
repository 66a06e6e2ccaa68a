"""Sampling by the eager and the compiled engine in turn: `python -m benchmarks.engines`; compiles for minutes at first.

Prints the median CPU time of a value, on one thread: of 28x28 binary images, or of sequences of at most 1000 values.
"""

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import torch

from ar_lightning.core.fields import Engine
from ar_lightning.density.density import Density
from benchmarks.works import WORKS, Work, density_of

__all__ = ["main"]

NAMES = ("gated_pixelcnn", "pixelcnn", "row_lstm", "diagonal_bilstm", "pixel_transformer", "wavenet")
TEXT: dict[str, Any] = {"shape": (1, 256), "levels": 65}
TIMED = {name: WORKS[name] for name in NAMES} | {
    "transformer": Work("Transformer, 4 x 64, text", {"name": "transformer", "width": 64}, **TEXT),
    "rnn": Work("LSTM, 256 units, text", {"name": "rnn"}, **TEXT),
}
TIMED["wavenet"] = replace(TIMED["wavenet"], shape=(1, 1000))
ENGINES: tuple[Engine, ...] = ("eager", "compiled")


def main(argv: list[str] | None = None) -> None:
    """Measure and print a line for each model and number of samples."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=TIMED, default=list(TIMED))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for name in args.models:
        density = density_of(TIMED[name]).eval()
        for n in args.batches:
            found: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
            for _ in range(args.rounds + 1):
                for engine in ENGINES:
                    found[engine].append(seconds(density, n, engine))
            found = {engine: times[1:] for engine, times in found.items()}  # the first warms up
            eager, compiled = (statistics.median(found[engine]) / density.spec.dims * 1e6 for engine in ENGINES)
            ratio = statistics.median(e / c for e, c in zip(*found.values(), strict=True))
            print(
                f"{name}, {n}: {eager:.0f} us eager, {compiled:.0f} us compiled, {ratio:.1f} times faster", flush=True
            )


def seconds(density: Density, n: int, engine: Engine) -> float:
    """Return the CPU time of n samples."""
    start = time.process_time()
    density.sample(n, engine=engine)
    return time.process_time() - start


if __name__ == "__main__":
    main()
