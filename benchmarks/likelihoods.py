"""Train configs and keep what came out: `python -m benchmarks.likelihoods [CONFIG ...]`; by default all that need no
download.

Writes `benchmarks/results/DATA/NAME/` (config, metrics, curves, samples, result); the README's tables are made of it.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ar_lightning.cli import main as run
from ar_lightning.config import load_config

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DEFAULT = [*sorted((ROOT / "conf").glob("*.yaml")), *sorted((ROOT / "conf" / "conditional").glob("*.yaml"))]
BUNDLED = {"digits", "tones", "text", "wine", "breast_cancer"}  # data that is generated or comes with a library
KEPT = ("metrics.csv", "curves.png", "result.json")
SAMPLES = (".png", ".txt")  # no recordings: they are made by one command


def bundled(configs: list[Path]) -> list[Path]:
    """Return the configs whose data is generated or comes with a library."""
    return [c for c in configs if load_config(c)["data"]["name"] in BUNDLED]


def keep(run_dir: Path, config: Path) -> dict[str, Any]:
    """Copy the small files of a run to `benchmarks/results/`, without the paths of this machine."""
    result: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    result.pop("pictures")
    folder = RESULTS / result["data"] / config.stem.removesuffix(f"_{result['data']}")
    folder.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copy(run_dir / file, folder / file)
    for ending in SAMPLES:
        if (samples := run_dir / "samples" / f"final{ending}").exists():
            shutil.copy(samples, folder / f"samples{ending}")
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / "config.yaml").write_text(without_run_dir(run_dir / "config.yaml"))
    return result


def without_run_dir(config: Path) -> str:
    """Return the text of a run's config without the path of this machine."""
    return "".join(line for line in config.read_text().splitlines(keepends=True) if not line.startswith("run_dir:"))


def main() -> None:
    """Train them one after another."""
    rows = []
    for config in [Path(name) for name in sys.argv[1:]] or bundled(DEFAULT):
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / config.stem
            if code := run(["--config", str(config), f"run_dir={run_dir}", "tracking.mode=disabled"]):
                sys.exit(code)
            rows.append(keep(run_dir, config))
    columns = ("config", "data", "test nats", "bits/dim", "accuracy", "parameters", "training, s")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for r in rows:
        accuracy = f"{r['test/accuracy']:.3f}" if "test/accuracy" in r else ""
        print(
            f"| {r['experiment']} | {r['regime']} | {r['test/nll']:.2f} | {r['test/bpd']:.4f} | {accuracy} "
            f"| {r['parameters']:,} | {r['seconds_training']:.0f} |"
        )


if __name__ == "__main__":
    main()
