"""Known rare cases in mammography, beside scikit-learn's detectors: `python -m benchmarks.tables.mammography FOLDER`.

FOLDER holds mammography.csv: 11,183 rows of six real columns and a label, of which 260 are rare cases. Half of the
rows, chosen with a fixed seed, are for training, without their labels and with the rare cases among them, as the data
has them; a tenth of these is held out for validation and a tenth is not used. `anomaly` scores the other half.

Every column has values that a large share of the rows has exactly. So the likelihood of a density of real numbers has
no bound there, and does not compare with that of one that has point masses. `chosen` is the density with point masses
that is the best on validation, whatever finds more of the rare cases.
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.files import write_json, written
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT, run

SEED = 0
LABEL = "x6"  # what the seventh column of a file without a header is called
CONFIG = ["--config", "conf/made.yaml", "data.batch_size=256", "trainer.max_epochs=40"]
MADE = [*CONFIG, "model.hidden=200"]
MASSES = ["likelihood=columns"]
REAL = ["data.types=real", "likelihood=gaussian_mixture"]
SMOOTH = ["likelihood.floor=0.3", "likelihood.components=5"]
DENSITIES = {
    "independent, point masses": [
        *CONFIG, *MASSES, "model=independent", "optimizer.weight_decay=0", "optimizer.lr=1e-2",
    ],
    "MADE, point masses": [*MADE, *MASSES],
    "MADE, point masses, floor 0.3": [*MADE, *MASSES, *SMOOTH],
    "MADE, real": [*MADE, *REAL],
    "MADE, real, floor 0.3": [*MADE, *REAL, *SMOOTH],
}  # fmt: skip
OURS = "-log p(x)"


def halves(source: Path, folder: Path) -> tuple[Path, Path]:
    """Write half of the rows without their labels, and the other half with them."""
    with source.open(newline="") as file:
        rows = list(csv.reader(file))
    order, half = np.random.RandomState(SEED).permutation(len(rows)), len(rows) // 2
    train, test = folder / "train.csv", folder / "test.csv"
    for path, index, columns in ((test, order[:half], 7), (train, order[half:], 6)):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows[i][:columns] for i in index)
    return train, test


def measure(density: str, train: Path, test: Path, folder: Path) -> dict[str, Any]:
    """Train a density, and return its validation and what `anomaly` finds."""
    trained = folder / density.replace(", ", "-").replace(" ", "-")
    here = ["tracking.mode=disabled", "samples.every=0", "trainer.devices=1", "trainer.accelerator=cpu"]
    run(*DENSITIES[density], "data.name=table", f"data.path={train}", f"run_dir={trained}", *here)
    run("anomaly", str(trained), "--against", str(test), "--labels", LABEL, "--out", str(trained / "found"))
    result = json.loads((trained / "result.json").read_text())
    found = json.loads((trained / "found" / "anomaly.json").read_text())
    kept = ("val/nll", "parameters", "epochs", "seconds_training")
    return {key: result[key] for key in kept} | {key: found[key] for key in ("rows", "rare_rows", "found")}


def report(result: dict[str, Any]) -> str:
    """Return the table of a result in Markdown."""
    one = next(iter(result["densities"].values()))
    head = ("detector", "validation, nats a row", "AUROC", "average precision", f"precision at {one['rare_rows']}")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|"]
    rows = [(name, f"{d['val/nll']:.3f}", d["found"][OURS]) for name, d in result["densities"].items()]
    rows += [(name, "", worth) for name, worth in one["found"].items() if name != OURS]
    for name, validation, worth in rows:
        shown = f"**{name}**" if name == result["chosen"] else name
        values = (f"{worth[key]:.4f}" for key in ("auroc", "average_precision", "precision_at_n"))
        lines.append(f"| {' | '.join((shown, validation, *values))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="it holds mammography.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tables")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = halves(given.folder / "mammography.csv", folder)
        densities = {density: measure(density, *files, folder) for density in DENSITIES}
    bounded = [name for name in densities if "point masses" in name]
    result = {
        "machine": machine("cpu"),
        "seed": SEED,
        "trainings": {name: " ".join(args) for name, args in DENSITIES.items()},
        "chosen": min(bounded, key=lambda name: densities[name]["val/nll"]),
        "densities": densities,
    }
    text = report(result)
    print(text)
    write_json(result, given.out / "mammography.json")
    with written(given.out / "mammography.md") as partial:
        partial.write_text(text)


if __name__ == "__main__":
    command.run(main)
