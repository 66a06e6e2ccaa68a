"""Train every config of `conf/` on the bundled digits and keep what came out: `python -m benchmarks.digits`.

Writes `benchmarks/results/digits/NAME/` (config, metrics, curves, result) and prints the table of the README.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ar_lightning.cli import main as run

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ("config.yaml", "metrics.csv", "curves.png", "result.json")


def keep(run_dir: Path, name: str) -> dict[str, object]:
    """Copy the small files of a run to `benchmarks/results/NAME/`, without the paths of this machine."""
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copy(run_dir / file, folder / file)
    result = json.loads((folder / "result.json").read_text())
    result.pop("pictures", None)
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    config = folder / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("run_dir:")))
    return result


def main() -> None:
    """Train them one after another."""
    rows = []
    for config in ("independent", "markov", "nade", "pixelrnn", "table"):
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / config
            options = [f"run_dir={run_dir}", "tracking.mode=disabled"]
            if code := run(["--config", str(ROOT / "conf" / f"{config}.yaml"), *options]):
                sys.exit(code)
            rows.append(keep(run_dir, f"digits/{config}"))
    print("\n| model | data | test nats | bits/dim | parameters | training, s |\n|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r['model']} | {r['regime']} | {r['test/nll']:.2f} | {r['test/bpd']:.4f} "
            f"| {r['parameters']:,} | {r['seconds_training']:.0f} |"
        )


if __name__ == "__main__":
    main()
