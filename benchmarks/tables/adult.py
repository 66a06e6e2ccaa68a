"""Adult, a table of mixed columns: nats a row, and what synthetic rows are worth.

    python -m benchmarks.tables.adult FOLDER [--only made ...] [--peers PYTHON] [--out DIR]

FOLDER holds adult-train.csv and adult-test.csv of the UCI repository. Each model is trained on the training rows, a
tenth of them held out for validation, and tested on the test rows. Then a classifier (scikit-learn's gradient boosting,
at its defaults) learns the income from as many synthetic rows as there are real ones, and from the real ones; both are
tested on the real test rows. `--peers` names a Python that has the package `ctgan`, for CTGAN and TVAE at their
defaults.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from ar_lightning.core.files import write_json
from ar_lightning.data.datasets.adult import ADULT_COLUMNS, ADULT_NUMBERS, read_adult
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT, run

LABEL, RARER = "income", ">50K"
TEN_MINUTES = ["data.batch_size=256", "trainer.max_hours=0.16"]
ORDERLESS = ["--config", "conf/table_orderless.yaml", *TEN_MINUTES]
MADE = ["--config", "conf/table_made.yaml", *TEN_MINUTES]
SIZE = ["model.width=64", "model.layers=3", "model.dropout=0.1"]
MODELS = {
    "independent": [*MADE, "model=independent"],
    "made": MADE,
    "transformer": [*MADE, "model=transformer", *SIZE],
    "deep_nade": ORDERLESS,
    "any_order_transformer": [*ORDERLESS, "model=any_order_transformer", *SIZE],
}
PEERS = ("TVAE", "CTGAN")


def with_names(source: Path, out: Path) -> Path:
    """Write a file of Adult with a header, and without the points that end the lines of the test file."""
    read_adult(source).to_csv(out, index=False)
    return out


def auc(rows: pd.DataFrame, test: pd.DataFrame) -> float:
    """Return the area under the ROC curve on test rows of a classifier that has learned from `rows`."""

    def inputs(frame: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for name in ADULT_COLUMNS[:-1]:
            if name in ADULT_NUMBERS:
                columns[name] = pd.to_numeric(frame[name]).astype(float)
            else:
                levels = sorted(set(test[name].fillna("?")))
                cells = frame[name].fillna("?")
                columns[name] = pd.Categorical(cells.where(cells.isin(levels)), categories=levels)
        return pd.DataFrame(columns)

    classifier = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    classifier.fit(inputs(rows), rows[LABEL] == RARER)
    return float(roc_auc_score(test[LABEL] == RARER, classifier.predict_proba(inputs(test))[:, 1]))


def measure(model: str, data: Path, test: Path, folder: Path) -> dict[str, Any]:
    """Train a model, test it, and learn from its synthetic rows."""
    trained, synthetic = folder / model, folder / f"{model}.csv"
    run(
        *MODELS[model], f"data.path={data}", f"data.test_path={test}", f"run_dir={trained}",
        "tracking.mode=disabled", "samples.every=0", "trainer.devices=1", "trainer.accelerator=cpu",
    )  # fmt: skip
    rows = len(pd.read_csv(data))
    run("sample", str(trained), "--n", str(rows), "--out", str(synthetic), "--seed", "0")
    result = json.loads((trained / "result.json").read_text())
    kept = ("test/nll", "val/nll", "parameters", "epochs", "seconds_training", "regime", "columns")
    return {key: result[key] for key in kept if key in result} | {"auc": auc(pd.read_csv(synthetic), pd.read_csv(test))}


def peers(python: str, data: Path, test: Path, folder: Path) -> dict[str, Any]:
    """Learn from the synthetic rows of each peer."""
    found = {}
    for name in PEERS:
        out = folder / f"{name}.csv"
        script = ROOT / "benchmarks" / "tables" / "peer.py"
        subprocess.run([python, str(script), name, str(data), str(out)], check=True)
        found[name] = json.loads(out.with_suffix(".json").read_text())
        found[name] |= {"auc": auc(pd.read_csv(out), pd.read_csv(test))}
    return found


def report(result: dict[str, Any]) -> str:
    """Return the table of the results in Markdown."""
    lines = ["| rows of | nats a test row | minutes of training | AUC on real rows |", "|---|---|---|---|"]
    lines.append(f"| Adult itself | | | {result['real_auc']:.4f} |")
    for model, row in result["models"].items():
        minutes = f"{row['seconds_training'] / 60:.1f}"
        lines.append(f"| `{model}` | {row['test/nll']:.3f} | {minutes} | {row['auc']:.4f} |")
    for peer, row in result["peers"].items():
        lines.append(f"| {peer} ({row['package']}) | | {row['cpu_seconds'] / 60:.1f} of CPU | {row['auc']:.4f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--only", nargs="+", choices=MODELS, default=list(MODELS), help="what was measured before stays"
    )
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has the package ctgan")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tables")
    given = parser.parse_args()
    file = given.out / "adult.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"models": {}, "peers": {}}
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, test = (
            with_names(given.data / f"adult-{part}.csv", folder / f"{part}.csv") for part in ("train", "test")
        )
        result["machine"], result["real_auc"] = machine("cpu"), auc(pd.read_csv(data), pd.read_csv(test))
        for model in given.only:
            result["models"][model] = measure(model, data, test, folder)
            write_json(result, file)
        if given.peers:
            result["peers"] |= peers(given.peers, data, test, folder)
            write_json(result, file)
    print(report(result))


if __name__ == "__main__":
    command.run(main)
