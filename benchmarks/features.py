"""What a linear probe finds in hidden units, beside raw pixels: `python -m benchmarks.features [--out FILE]`.

Trains a few unconditional models on digits for as long as their configs say, and probes the
default layer of each, pooled over sites, for the digit.
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import command
from benchmarks.codec import ROOT, run

MODELS = ("nade", "pixelcnn", "pixelrnn", "pixel_transformer")


def probe(model: str, folder: Path) -> dict[str, Any]:
    """Train a model, and return the content of its `probe.json`."""
    trained = str(folder / "run")
    here = ["tracking.mode=disabled", "samples.every=0", "trainer.devices=1", "trainer.accelerator=cpu"]
    run("--config", f"conf/{model}.yaml", f"run_dir={trained}", *here)
    run("features", trained, "--out", str(folder / "features"))
    found: dict[str, Any] = json.loads((folder / "features" / "probe.json").read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "features.json")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__},
        "probes": {},
    }
    table = Table("model", "layer", "hidden units", "raw values")
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            found = result["probes"][model] = probe(model, Path(folder))
        table.add_row(model, found["layer"], f"{found['hidden']['accuracy']:.3f}", f"{found['raw']['accuracy']:.3f}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    Console().print(table)


if __name__ == "__main__":
    command.run(main)
