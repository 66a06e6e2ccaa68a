"""What weights of another dataset save: `python -m benchmarks.init_from [--out FILE]`; some minutes on one core.

Trains PixelCNN on the digits of scikit-learn, and then on MNIST of their size, 500 images of 8x8 pixels and 17 levels:
once from its own weights and once from those of the first training (`init_from`). The steps are those of the best
validation from scratch, and those after which the other training validates at least as well.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.files import write_json
from ar_lightning.data.datasets.mnist import MNIST
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT, run

CONFIG = "conf/pixelcnn.yaml"
SIZES = {"train": 500, "valid": 1000, "test": 1000}  # images
SEEDS = (0, 1, 2)


def small_mnist(file: Path) -> None:
    """Write MNIST as scikit-learn has its digits: 0 to 16, the ink of each block of 3x3 pixels, without the margin."""
    splits = MNIST().load()
    arrays = {}
    for name, n in SIZES.items():
        grey = splits[name].x[:n, 0, 2:26, 2:26].reshape(n, 8, 3, 8, 3).mean((2, 4))
        arrays[name] = np.rint(grey * 16 / 255).astype(np.uint8)
    np.savez_compressed(file, **arrays)


def trained(folder: Path, seed: int, *given: str) -> tuple[dict[str, Any], list[tuple[int, float]]]:
    """Train; return the result, and the steps and nats of every validation."""
    here = ["tracking.mode=disabled", "samples.every=0", "trainer.devices=1", "trainer.accelerator=cpu"]
    run("--config", CONFIG, f"run_dir={folder}", f"seed={seed}", *here, *given)
    with (folder / "metrics.csv").open(newline="") as rows:
        values = [(int(row["step"]) + 1, float(row["val/nll"])) for row in csv.DictReader(rows) if row["val/nll"]]
    return json.loads((folder / "result.json").read_text()), values


def compared(seed: int, data: Path, folder: Path) -> dict[str, Any]:
    """Return what a training from scratch came to, and when one from other weights came there."""
    other = ["data=npz", f"data.path={data}"]
    trained(folder / "digits", seed)
    scratch, values = trained(folder / "scratch", seed, *other)
    started, started_values = trained(folder / "started", seed, *other, f"init_from={folder / 'digits'}")
    best, steps = min((nats, step) for step, nats in values)
    return {
        "seed": seed,
        "steps": scratch["steps"],
        "from_scratch": {"steps": steps, **bits(scratch)},
        "from_digits": {"steps": next((step for step, nats in started_values if nats <= best), None), **bits(started)},
    }


def bits(result: dict[str, Any]) -> dict[str, float]:
    return {key: result[key] for key in ("val/bpd", "test/bpd")}


def report(result: dict[str, Any]) -> str:
    """Return the table of the docs."""
    lines = [
        "| seed | steps from scratch | steps from digits | test bits/dim from scratch | from digits |",
        "|---|---|---|---|---|",
    ]
    for row in result["seeds"]:
        scratch, digits = row["from_scratch"], row["from_digits"]
        numbers = f"{scratch['steps']:,} | {digits['steps']:,} | {scratch['test/bpd']:.3f} | {digits['test/bpd']:.3f}"
        lines.append(f"| {row['seed']} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "init_from.json")
    given = parser.parse_args()
    result: dict[str, Any] = {"machine": machine("cpu"), "seeds": []}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist_8x8.npz"
        small_mnist(data)
        result["seeds"] += [compared(seed, data, Path(folder) / str(seed)) for seed in SEEDS]
    write_json(result, given.out)
    print(report(result))


if __name__ == "__main__":
    command.run(main)
