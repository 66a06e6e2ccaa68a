"""RNADE's cross-validation: `python -m benchmarks.uci [--data red_wine] [--folds 10] [--config conf/published/...]`.

Trains a config on every fold, beside a Gaussian fitted in closed form, and writes `benchmarks/results/uci/DATA/`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal

from ar_lightning.data.arrays import Splits
from benchmarks.likelihoods import without_run_dir

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "uci"
# Mean test log-likelihoods in nats, standardised units: Uria, Murray & Larochelle, RNADE (2013), table 1.
PUBLISHED = {
    "red_wine": {"gaussian": -13.18, "rnade_mog": -9.36, "rnade_mol": -9.46},
    "white_wine": {"gaussian": -13.20, "rnade_mog": -10.23, "rnade_mol": -10.38},
    "parkinsons": {"gaussian": -10.85, "rnade_mog": -0.90, "rnade_mol": -2.63},
    "ionosphere": {"gaussian": -41.24, "rnade_mog": -2.50, "rnade_mol": -5.87},
    "boston_housing": {"gaussian": -11.37, "rnade_mog": -0.64, "rnade_mol": -4.04},
}


def gaussian_log_likelihood(splits: Splits) -> np.ndarray:
    """Return log p `(N,)` in nats of the test rows under a Gaussian, fitted to the rows for training and validation."""
    fit = np.concatenate([splits["train"].x, splits["valid"].x])[:, 0].astype(np.float64)
    test = splits["test"].x[:, 0].astype(np.float64)
    log_p: np.ndarray = multivariate_normal(fit.mean(0), np.cov(fit.T, bias=True)).logpdf(test)
    return log_p


def train_fold(config: Path, data: str, fold: int, overrides: list[str], folder: Path) -> dict[str, Any]:
    """Train on one fold through the command line and return its result."""
    from ar_lightning.cli import main as run

    run_dir = folder / f"fold-{fold}"
    settings = [f"data.name={data}", f"data.fold={fold}", "tracking.mode=disabled", "trainer.progress=false"]
    if code := run(["--config", str(config), *settings, *overrides, f"run_dir={run_dir}"]):
        sys.exit(code)
    result: dict[str, Any] = json.loads((run_dir / "result.json").read_text())
    return result


def cross_validate(config: Path, data: str, folds: int, overrides: list[str]) -> dict[str, Any]:
    """Run the folds one after another, and keep what came out under `benchmarks/results/uci/`."""
    from ar_lightning.registry import find

    out = RESULTS / data
    out.mkdir(parents=True, exist_ok=True)
    rows, lines = [], [f"{'fold':>4} {'gaussian':>9} {'rnade':>9} {'valid':>9} {'epochs':>7} {'seconds':>8}"]
    print(lines[0])
    with tempfile.TemporaryDirectory() as folder:
        for fold in range(folds):
            gaussian = gaussian_log_likelihood(find("data", data)(fold=fold).load()).mean()
            result = train_fold(config, data, fold, overrides, Path(folder))
            row = {
                "fold": fold, "gaussian": round(float(gaussian), 4), "test": round(-result["test/nll"], 4),
                "valid": round(-result["val/nll"], 4), "epochs": result["epochs"],
                "seconds_training": result["seconds_training"], "regime": result["regime"],
            }  # fmt: skip
            rows.append(row)
            lines.append(
                f"{fold:4d} {row['gaussian']:9.3f} {row['test']:9.3f} {row['valid']:9.3f} {row['epochs']:7d} "
                f"{row['seconds_training']:8.1f}"
            )
            print(lines[-1], flush=True)
        (out / "config.yaml").write_text(without_run_dir(Path(folder) / "fold-0" / "config.yaml"))
    mean = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in ("gaussian", "test", "valid")}
    error = round(float(np.std([row["test"] for row in rows], ddof=1) / len(rows) ** 0.5), 4) if folds > 1 else None
    summary = {
        "data": data, "units": "nats per row, log-likelihood in standardised units", "folds": folds, "mean": mean,
        "standard_error_of_test": error, "published": PUBLISHED[data],
        "parameters": result["parameters"], "versions": result["versions"], "git": result["git"], "per_fold": rows,
    }  # fmt: skip
    lines.append(f"mean {mean['gaussian']:9.3f} {mean['test']:9.3f} {mean['valid']:9.3f}   (test +- {error})")
    lines.append(f"published, mean over 10 folds: {PUBLISHED[data]}")
    print(*lines[-2:], sep="\n")
    (out / "result.json").write_text(json.dumps(summary, indent=2) + "\n")
    (out / "log.txt").write_text("\n".join(lines) + "\n")
    return summary


def main() -> None:
    """Cross-validate a config on one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=PUBLISHED, default="red_wine")
    parser.add_argument(
        "--folds", type=int, choices=range(1, 11), default=10, help="how many of the 10, from the first"
    )
    parser.add_argument("--config", type=Path, default=ROOT / "conf" / "published" / "rnade_red_wine.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value settings of the config")
    args = parser.parse_args()
    cross_validate(args.config, args.data, args.folds, args.overrides)


if __name__ == "__main__":
    main()
