"""A table of a million rows and 100 columns: how much memory and time it takes, and a category of 10,000 levels.

    python -m benchmarks.tables.scale [--rows N] [--out DIR] [--folder DIR]

The table is generated: real numbers, whole numbers and categories that all depend on a few latent ones, a twentieth of
the cells of some columns missing, and a category of almost 10,000 levels, some much more frequent than others. MADE
learns from it for one epoch, scores all rows of the file, and draws rows. Each command is a process of its own on one
core; the memory is the most that it had resident.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from ar_lightning.core.files import write_json
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT

REALS, WHOLES, CATEGORIES = 40, 30, 29  # columns
BIG, LEVELS = "place", 10_000  # the category of many levels
NAMES = np.array([f"level{k}" for k in range(LEVELS)], object)
LATENTS, CHUNK, DRAWN = 8, 50_000, 10_000  # numbers that all depend on; rows that are written at a time, and drawn
MISSING = 0.05  # of the cells of every fifth column
SIZE = ["model.hidden=128", "model.layers=1", "likelihood=columns", "likelihood.features=32", "likelihood.components=3"]
TRAINING = [
    "--config", "conf/table_made.yaml", *SIZE, "data.max_levels=20000", "trainer.max_epochs=1", "samples.every=0",
    "tracking.mode=disabled", "trainer.devices=1", "trainer.accelerator=cpu", "trainer.threads=1",
]  # fmt: skip


def chunks(rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of the table, some at a time."""
    weights = np.random.RandomState(0).randn(LATENTS, REALS + WHOLES + CATEGORIES + 1) / LATENTS**0.5
    for start in range(0, rows, CHUNK):
        random = np.random.RandomState(1 + start // CHUNK)
        n = min(CHUNK, rows - start)
        z = (random.randn(n, LATENTS) @ weights + 0.5 * random.randn(n, weights.shape[1])) / 1.25**0.5
        uniform = ndtr(z)
        frame = {f"real{d}": 10.0 ** (d % 5) * z[:, d] for d in range(REALS)}
        frame |= {f"whole{d}": np.exp(1 + d / 4 + z[:, REALS + d]).astype(int) for d in range(WHOLES)}
        for d in range(CATEGORIES):
            frame[f"category{d}"] = NAMES[(uniform[:, d - CATEGORIES - 1] * (d + 2)).astype(int)]
        frame[BIG] = NAMES[(LEVELS * uniform[:, -1] ** 3).astype(int)]
        table = pd.DataFrame(frame)
        yield table.mask((random.rand(*table.shape) < MISSING) & (np.arange(table.shape[1]) % 5 == 0))


def write_table(rows: int, path: Path) -> dict[str, Any]:
    """Write the table, and return what is in it."""
    counts = pd.Series(dtype=int)
    for i, chunk in enumerate(chunks(rows)):
        chunk.to_csv(path, mode="a" if i else "w", header=not i, index=False, float_format="%.8g")
        counts = counts.add(chunk[BIG].value_counts(), fill_value=0)
    share = counts / counts.sum()
    entropy = -float((share * np.log(share)).sum())
    table = {"rows": rows, "columns": chunk.shape[1], "gigabytes": round(path.stat().st_size / 1e9, 2)}
    return table | {"levels": len(counts), "entropy_of_levels": entropy}


def measured(rows: int, *args: str) -> dict[str, float]:
    """Run a command of the project, and return its memory and time, and what the latter is for each of `rows`."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "run.py", *args], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(args)}: ended with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "rows": rows, "peak_gib": usage.ru_maxrss / 2**20, "cpu_seconds": cpu, "seconds": time.monotonic() - start,
        "rows_a_cpu_second": rows / cpu,
    }  # fmt: skip


def measure(rows: int, folder: Path, file: Path) -> dict[str, Any]:
    """Write the table, train on it, score it and draw rows; `file` has what is known after each step."""
    path, trained, scores, drawn = (folder / name for name in ("table.csv", "run", "scores.csv", "drawn.csv"))
    found: dict[str, Any] = {"machine": machine("cpu"), "table": write_table(rows, path), "steps": {}}
    found["steps"]["train"] = measured(rows, *TRAINING, f"data.path={path}", f"run_dir={trained}")
    result = json.loads((trained / "result.json").read_text())
    (big,) = (column for column in result["columns"] if column["name"] == BIG)
    found |= {"parameters": result["parameters"], "test/nll": result["test/nll"], f"test/nll/{BIG}": big["nll"]}
    write_json(found, file)
    found["steps"]["score"] = measured(rows, "score", str(trained), "--data", str(path), "--out", str(scores))
    nats = pd.read_csv(scores)["nats"]
    found |= {"scored": len(nats), "nll_of_all_rows": -float(nats.mean())}
    write_json(found, file)
    drawing = "sample", str(trained), "--n", str(DRAWN), "--out", str(drawn), "--seed", "0"
    found["steps"]["sample"] = measured(DRAWN, *drawing)
    found["levels_drawn"] = int(pd.read_csv(drawn)[BIG].nunique())
    write_json(found, file)
    return found


def report(result: dict[str, Any]) -> str:
    """Return the table of the results in Markdown."""
    lines = ["| command | rows | peak memory, GiB | minutes of CPU | rows a second of CPU |", "|---|---|---|---|---|"]
    for name, step in result["steps"].items():
        numbers = f"{step['peak_gib']:.1f} | {step['cpu_seconds'] / 60:.1f} | {step['rows_a_cpu_second']:,.0f}"
        lines.append(f"| `{name}` | {step['rows']:,} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files are written meanwhile; some GB")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tables")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        print(report(measure(given.rows, Path(name), given.out / "scale.json")))


if __name__ == "__main__":
    command.run(main)
