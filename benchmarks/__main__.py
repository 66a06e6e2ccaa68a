"""Compare this project with the straightforward way, interleaved in one run: `python -m benchmarks [--out FILE]`.

Each row times A and B in turn (A B A B ...) and compares medians, so that a machine that slows down slows both.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ar_lightning.checkpoints import build_density
from ar_lightning.density import Density
from ar_lightning.nn.prefix import PrefixHidden
from ar_lightning.registry import MODELS
from ar_lightning.schema import schema_of
from ar_lightning.spec import DataSpec

SAMPLES = 16
STREAMED = {
    "nade": "NADE",
    "row_lstm": "Row LSTM",
    "diagonal_bilstm": "Diagonal BiLSTM",
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "Gated PixelCNN",
    "pixelcnnpp": "PixelCNN++",
    "pixel_transformer": "Pixel transformer",
}


def interleaved(ours: Callable[[], Any], reference: Callable[[], Any], rounds: int, warm: int = 1) -> dict[str, float]:
    """Return median seconds of both, after `warm` rounds that are not counted."""
    seconds: dict[str, list[float]] = {"ours": [], "reference": []}
    for i in range(warm + rounds):
        for name, call in (("ours", ours), ("reference", reference)):
            start = time.perf_counter()
            call()
            if i >= warm:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def nade_step() -> dict[str, float]:
    """A training step of NADE's hidden layer, 784 sites, 500 units, batch 100, against a loop over the sites."""
    units = PrefixHidden(784, 1, 500, 1)
    past = (torch.rand(100, 784, 1) < 0.5).float()

    def ours() -> None:
        units(past).sum().backward()

    def reference() -> None:
        per_site_loop(units, past).sum().backward()

    return interleaved(ours, reference, rounds=7)


def per_site_loop(units: PrefixHidden, past: Tensor) -> Tensor:
    """NADE as its paper writes it: update the pre-activation, read the outputs, site by site."""
    a, outs = units.c.expand(len(past), -1), []
    for i in range(past.shape[1]):
        a = a + past[:, i] @ units.W[i]
        outs.append(a.sigmoid() @ units.V[i].T + units.b[i])
    return torch.stack(outs, 1)


SIZES: dict[str, dict[str, int]] = {  # others by default
    "pixelcnn": {"hidden": 64, "layers": 15},
    "pixel_transformer": {"width": 64, "layers": 4},
}


def density(model: str, side: int) -> Density:
    defaults = {f.name: f.default for f in schema_of(MODELS[model]).fields.values()}
    config = {"model": {"name": model, **defaults, **SIZES.get(model, {})}, "likelihood": {"name": "auto"}}
    return build_density(config, DataSpec((1, side, side), 2)).eval()


def sampling(model: str, side: int = 28) -> dict[str, float]:
    """16 binary images, streaming against a full forward pass for every pixel, which averages over many already."""
    d = density(model, side)
    d.sample(SAMPLES)
    return interleaved(lambda: d.sample(SAMPLES), lambda: d.sample(SAMPLES, naive=True), rounds=1, warm=0)


def growth(model: str) -> dict[str, float]:
    """Streaming seconds by image side; linear in the pixels means that each doubling costs four times as much."""
    seconds = {}
    for side in (14, 28, 56):
        d = density(model, side)
        d.sample(SAMPLES)
        start = time.perf_counter()
        d.sample(SAMPLES)
        seconds[str(side)] = time.perf_counter() - start
    return seconds


def start_up() -> dict[str, float]:
    """The answer to a misspelt key, against importing PyTorch and Lightning first."""

    def run(*command: str) -> None:
        subprocess.run([sys.executable, *command], capture_output=True, check=False)

    root = Path(__file__).parent.parent
    typo = (str(root / "run.py"), "model=naed")
    return interleaved(lambda: run(*typo), lambda: run("-c", "import lightning.pytorch"), rounds=3)


def main() -> None:
    """Run everything, print a table, and write the numbers where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = {
        "NADE 784x500, batch 100: training step": nade_step(),
        **{f"{title} 28x28: {SAMPLES} samples, streaming vs naive": sampling(m) for m, title in STREAMED.items()},
        "command line: answer to a typo vs importing Lightning": start_up(),
    }
    grown = {model: growth(model) for model in STREAMED}
    console = Console()
    table = Table("work", "ours, s", "reference, s", "times faster")
    for name, seconds in rows.items():
        ratio = seconds["reference"] / seconds["ours"]
        table.add_row(name, f"{seconds['ours']:.4g}", f"{seconds['reference']:.4g}", f"{ratio:.1f}")
    console.print(table)
    table = Table(f"seconds for {SAMPLES} samples, by image side", "14", "28", "56")
    for model, seconds in grown.items():
        table.add_row(model, *(f"{s:.3g}" for s in seconds.values()))
    console.print(table)
    if args.out:
        machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "processor": platform.machine()}
        measured = {"machine": machine, "torch": torch.__version__, "seconds": rows, "growth": grown}
        args.out.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
