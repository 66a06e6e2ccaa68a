"""Train configs and keep what came out: `python -m benchmarks.likelihoods [CONFIG ...]`; by default all that need no
download.

Writes `benchmarks/results/DATA/NAME/` (config, metrics, curves, samples, result); the README's tables are made of it.
"""

import json
import sys
import tempfile
from pathlib import Path

from ar_lightning.cli import main as run
from ar_lightning.config.overlay import flat
from ar_lightning.config.resolve import load_config
from benchmarks import command
from benchmarks.published.rows import ROOT, keep, kept_in

SAME = ROOT / "conf" / "pixelrnn.yaml"  # as conf/row_lstm.yaml
DEFAULT = sorted(p for folder in ("conf", "conf/conditional") for p in (ROOT / folder).glob("*.yaml") if p != SAME)
BUNDLED = {
    "digits",
    "tones",
    "chords",
    "text",
    "lines",
    "wine",
    "breast_cancer",
    "table",
}  # data that is generated or comes with a library


def bundled(configs: list[Path]) -> list[Path]:
    """Return the configs whose data is generated or comes with a library."""
    return [c for c in configs if load_config(c)["data"]["name"] in BUNDLED]


def main() -> None:
    """Train them one after another."""
    rows = []
    for config in [Path(name) for name in sys.argv[1:]] or bundled(DEFAULT):
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / config.stem
            if code := run(["--config", str(config), f"run_dir={run_dir}", "tracking.mode=disabled"]):
                sys.exit(code)
            rows.append(json.loads((run_dir / "result.json").read_text()))
            keep(run_dir, kept_in(flat(str(config), load_config(config))), rows[-1])
    columns = ("config", "data", "test nats", "bits/dim", "accuracy", "parameters", "training, s")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for r in rows:
        accuracy, bpd = (f"{r[key]:.4f}" if key in r else "" for key in ("test/accuracy", "test/bpd"))
        print(
            f"| {r['experiment']} | {r['regime']} | {r['test/nll']:.2f} | {bpd} | {accuracy} "
            f"| {r['parameters']:,} | {r['seconds_training']:.0f} |"
        )


if __name__ == "__main__":
    command.run(main)
