"""Sampling by the eager and the compiled engine in turn: `python -m benchmarks.engines`; compiles for minutes at first.

Prints the median CPU time of a pixel, on one thread, of 28x28 binary images.
"""

import argparse
import statistics
import time

import torch

from ar_lightning.core.fields import Engine
from ar_lightning.density.density import Density
from benchmarks.works import WORKS, density_of

__all__ = ["main"]

NAMES = ("gated_pixelcnn", "pixelcnn", "row_lstm", "diagonal_bilstm")
ENGINES: tuple[Engine, ...] = ("eager", "compiled")


def main(argv: list[str] | None = None) -> None:
    """Measure and print a line for each model and number of samples."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for name in args.models:
        density = density_of(WORKS[name]).eval()
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
