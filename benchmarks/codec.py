"""Bytes against nats: `python -m benchmarks.codec [--out FILE]`.

Trains NADE and PixelCNN briefly on digits and on the fixed binarized MNIST, compresses the test images of each and
decompresses them again, each in a process of its own, and compares the size of the file with the likelihood that the
training reported. Then it measures the CPU time of a value, written and read, on one thread: of all images, and of 16
by each engine, where the model can be compiled. MNIST needs `AR_LIGHTNING_DATA` or a network.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ar_lightning.core.fields import Engine
from ar_lightning.core.files import write_json
from ar_lightning.density.compiled import why_not_compiled
from ar_lightning.density.density import Density
from ar_lightning.inference.codec.codec import decode, encode
from ar_lightning.inference.open import open_run
from benchmarks import command

ROOT = Path(__file__).parent.parent
TRAININGS = {
    "digits, NADE": ["--config", "conf/nade.yaml"],
    "digits, PixelCNN": ["--config", "conf/pixelcnn.yaml"],
    "binarized MNIST, NADE": [
        "--config", "conf/nade.yaml", "data=binarized_mnist", "trainer.max_epochs=5", "model.dropout=0",
        "optimizer.lr=1e-3", "schedule=constant",
    ],
    "binarized MNIST, PixelCNN": [
        "--config", "conf/pixelcnn.yaml", "data=binarized_mnist", "model.hidden=16", "trainer.max_epochs=2",
    ],
}  # fmt: skip


def run(*args: str) -> None:
    """Run a command of the project in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "run.py", *args], cwd=ROOT, check=True, env=environment)


def measure(training: list[str], folder: Path) -> dict[str, Any]:
    """Train, compress and decompress; return bytes and bits/dim."""
    trained, coded, decoded = str(folder / "run"), folder / "test.arl", folder / "test.npz"
    run(*training, f"run_dir={trained}", "tracking.mode=disabled", "samples.every=0", "trainer.devices=1")
    run("compress", trained, "data:test", "--out", str(coded))
    run("decompress", trained, str(coded), "--out", str(decoded))
    result = json.loads((folder / "run" / "result.json").read_text())
    opened = open_run(trained)
    x, _ = opened.data().split("test")
    size, n = coded.stat().st_size, len(x)
    promised = result["test/nll"] * n / math.log(2) / 8
    return {
        "images": n,
        "equal": bool(np.array_equal(np.load(decoded)["test"].reshape(x.shape), x.numpy())),
        "bytes": size,
        "bytes_of_the_likelihood": round(promised, 1),
        "allowed": round(1.01 * promised + 64, 1),
        "bits_per_dim": round(8 * size / x.numel(), 4),
        "test_bits_per_dim": round(result["test/bpd"], 4),
        "us_a_value": us_a_value(opened.density, x),
    }


def us_a_value(density: Density, x: torch.Tensor) -> dict[str, dict[str, float]]:
    """Return the CPU microseconds of a value, written and read, by the number of images and the engine."""
    engines: tuple[Engine, ...] = ("eager",) if why_not_compiled(density) else ("eager", "compiled")
    works: list[tuple[torch.Tensor, Engine]] = [(x, "eager"), *((x[:16], engine) for engine in engines)]
    found = {}
    for images, engine in works:
        encode(density, images[:16], engine=engine)  # compiles, and warms up
        start = time.process_time()
        data = encode(density, images, engine=engine)
        written = time.process_time()
        decode(density, data, len(images), engine=engine)
        seconds = {"written": written - start, "read": time.process_time() - written}
        times = {what: round(1e6 * s / images.numel(), 3) for what, s in seconds.items()}
        found[f"{len(images)} {engine}"] = times
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "codec.json")
    parser.add_argument(
        "--trainings", nargs="+", choices=TRAININGS, default=list(TRAININGS), metavar="NAME",
        help=f"what was measured of others stays; {'; '.join(TRAININGS)}",
    )  # fmt: skip
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(given.out.read_text())["codes"] if given.out.is_file() else {}
    result: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__},
        "trainings": {name: " ".join(args) for name, args in TRAININGS.items()}, "codes": kept,
    }  # fmt: skip
    table = Table("test images", "bytes", "-log2 p(x) / 8", "bits/dim", "decoded equal", "us a value, written and read")
    write_json(result, given.out)  # a place that cannot be written is told of before it trains
    for name in given.trainings:
        with tempfile.TemporaryDirectory() as folder:
            code = result["codes"][name] = measure(TRAININGS[name], Path(folder))
        write_json(result, given.out)
        bits = f"{code['bits_per_dim']:.4f}"
        times = "; ".join(f"{work}: {t['written']:.2f}, {t['read']:.2f}" for work, t in code["us_a_value"].items())
        likelihood = f"{code['bytes_of_the_likelihood']:,.0f}"
        table.add_row(name, f"{code['bytes']:,}", likelihood, bits, str(code["equal"]), times)
    Console().print(table)


if __name__ == "__main__":
    command.run(main)
