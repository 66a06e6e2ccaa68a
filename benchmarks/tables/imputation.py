"""Missing cells of real tables, filled by an orderless density and by what scikit-learn has.

    python -m benchmarks.tables.imputation FOLDER [--only auto_imports adult] [--out DIR]

A fifth of the cells that a table has is removed at random; the density is trained on what is left, and `complete` fills
the holes, numbers by the mean of 100 draws and categories by the most frequent. The others are scikit-learn's
`IterativeImputer` and `KNNImputer` at their defaults, which read standardised numbers and categories one-hot, and the
most frequent level or the mean of a column. All see the same table with holes. Counted are, of the removed cells, the
right categories, the root mean squared error of numbers in standard deviations of their columns, and nats a cell: of
a removed category or whole number, -log p given what is left of its row. The others say no probability. Theirs is a
Gaussian of the spread that their errors turn out to have, which favours them, and for categories the share that
they give each level, with a hundredth of the frequencies.
"""

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from ar_lightning.core.files import write_json
from ar_lightning.core.medium import MixedTable
from ar_lightning.data.datasets.adult import ADULT_COLUMNS
from ar_lightning.density.orderless import OrderlessDensity
from ar_lightning.media.frames import from_frame
from ar_lightning.training.checkpoints import load
from ar_lightning.training.provenance import machine
from benchmarks import command
from benchmarks.codec import ROOT, run

SHARE, DRAWS, SEED = 0.2, 100, 0
SMALL = ["model.hidden=128", "likelihood=columns", "likelihood.components=2", "likelihood.floor=0.2"]
LONGER = ["optimizer.weight_decay=0.3", "data.batch_size=32", "trainer.max_epochs=400", "trainer.early_stopping=30"]
OPTIONS = {"auto_imports": [*SMALL, *LONGER], "adult": []}
ROWS = 10_000  # of Adult: what the imputers take some minutes for
EVALUATED = 2_000
IMPUTERS = {
    "IterativeImputer": lambda: IterativeImputer(random_state=0),
    "KNNImputer": lambda: KNNImputer(),
    "most frequent, mean": lambda: SimpleImputer(),
}


def cells_of(name: str, source: Path) -> pd.DataFrame:
    """Return a table as texts, missing ones empty."""
    with (source / ("adult-train.csv" if name == "adult" else f"{name}.csv")).open(newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if len(row) > 1]
    names = list(ADULT_COLUMNS) if name == "adult" else [f"x{d}" for d in range(len(rows[0]))]
    return pd.DataFrame(rows[:ROWS], columns=names).replace("?", "")


def removed(cells: pd.DataFrame) -> np.ndarray:
    """Return which cells are removed: a fifth of those that are there."""
    return np.asarray((np.random.RandomState(SEED).rand(*cells.shape) < SHARE) & (cells != ""))


class Wide:
    """A table with holes as the imputers read it: standardised numbers, and a column for each level of a category."""

    def __init__(self, cells: pd.DataFrame, table: MixedTable) -> None:
        self.blocks: list[tuple[str, Any]] = []
        parts = []
        for column in table.columns:
            text = cells[column.name]
            if column.kind == "category":
                levels = list(column.levels)
                block = np.stack([np.where(text == "", np.nan, text == level) for level in levels], 1)
                self.blocks.append((column.name, levels))
            else:
                block = pd.to_numeric(text).to_numpy(float)[:, None]
                mean, std = np.nanmean(block), np.nanstd(block)
                block = (block - mean) / std
                self.blocks.append((column.name, (mean, std)))
            parts.append(block)
        self.x = np.concatenate(parts, 1).astype(float)

    def filled(self, x: np.ndarray) -> dict[str, Any]:
        """Return what filled columns say of each: the shares of levels `(N, K)`, or numbers `(N,)`."""
        found, start = {}, 0
        for name, about in self.blocks:
            width = len(about) if isinstance(about, list) else 1
            block = x[:, start : start + width]
            start += width
            if isinstance(about, list):
                share = block.clip(1e-9, None)
                found[name] = pd.DataFrame(share / share.sum(1, keepdims=True), columns=about)
            else:
                found[name] = about[0] + about[1] * block[:, 0]
        return found


def quality(
    table: MixedTable, truth: pd.DataFrame, holes: pd.DataFrame, gone: np.ndarray, filled: dict[str, Any]
) -> dict[str, float]:
    """Return the accuracy, error and nats of filled columns: shares of levels, or numbers."""
    right, squares, nats = [], [], []
    for column in table.columns:
        rows = gone[:, holes.columns.get_loc(column.name)]
        said, true = filled[column.name], truth[column.name]
        if column.kind == "category":
            said = said[rows].reset_index(drop=True)
            true = true[rows].reset_index(drop=True)
            right += list(said.idxmax(axis=1) == true)
            often = holes[column.name][holes[column.name] != ""].value_counts(normalize=True)
            share = said.to_numpy()[np.arange(len(true)), said.columns.get_indexer(true)]
            p = 0.99 * share + 0.01 * true.map(often).fillna(0.0).to_numpy()
            nats += list(-np.log(np.maximum(p, 1e-9)))
        else:
            every = pd.to_numeric(true).to_numpy(float)
            error = said[rows] - every[rows]
            squares += list((error / np.nanstd(every)) ** 2)
            if column.is_whole:
                spread = max(float(np.sqrt((error**2).mean())), 0.3)
                nats += list(-np.log(norm.cdf((0.5 - error) / spread) - norm.cdf((-0.5 - error) / spread) + 1e-9))
    return {"accuracy": float(np.mean(right)), "rmse": float(np.sqrt(np.mean(squares))), "nats": float(np.mean(nats))}


def nats_of(trained: Path, truth: pd.DataFrame, holes: pd.DataFrame, gone: np.ndarray) -> float:
    """Return the mean of -log p of a removed category or whole number, given what is left of its row."""
    density = load(trained)
    assert isinstance(density, OrderlessDensity) and isinstance(density.spec.medium, MixedTable)
    table = density.spec.medium
    x, left = (torch.from_numpy(from_frame(cells, table, "cells", holes=True)) for cells in (truth, holes))
    nats = []
    for d, column in enumerate(table.columns):
        if column.kind != "category" and not column.is_whole:
            continue
        rows = torch.from_numpy(gone[:, holes.columns.get_loc(column.name)])
        one = left[rows].clone()
        one[:, 0, d] = x[rows, 0, d]
        for part, known in zip(one.split(500), (~left[rows].isnan()).split(500), strict=True):
            with torch.no_grad():
                nats += (-density.conditional_log_prob(part, known)).tolist()
    return float(np.mean(nats))


def filled_by_draws(draws: pd.DataFrame, table: MixedTable, n: int) -> dict[str, Any]:
    """Return what the draws of `complete` say of each column: the shares of levels, or means."""
    found: dict[str, Any] = {}
    rows = draws["index"].astype(int)
    for column in table.columns:
        if column.kind == "category":
            shares = pd.crosstab(rows, draws[column.name], normalize="index")
            found[column.name] = shares.reindex(range(n)).fillna(0.0)
        else:
            found[column.name] = (
                pd.to_numeric(draws[column.name]).groupby(rows).mean().reindex(range(n)).to_numpy(float)
            )
    return found


def measure(name: str, source: Path, folder: Path) -> dict[str, Any]:
    """Fill the holes of a table in every way."""
    truth = cells_of(name, source)
    gone = removed(truth)
    holes = truth.mask(gone, "")
    path, rows, trained = folder / "holes.csv", folder / "rows.csv", folder / "run"
    n = min(len(truth), EVALUATED)
    holes.to_csv(path, index=False)
    holes[:n].to_csv(rows, index=False)
    run(
        "--config", "conf/table_orderless.yaml", *OPTIONS[name], f"data.path={path}", f"data.test_path={path}",
        f"run_dir={trained}", "tracking.mode=disabled", "samples.every=0", "trainer.devices=1",
        "trainer.accelerator=cpu",
    )  # fmt: skip
    run("complete", str(trained), "--input", str(rows), "--n", str(DRAWS), "--out", str(folder / "filled"))
    result = json.loads((trained / "result.json").read_text())
    table = load(trained).spec.medium
    assert isinstance(table, MixedTable)
    draws = pd.read_csv(folder / "filled-draws.csv", dtype=object, keep_default_na=False)
    for column in table.columns:
        if column.kind == "category":  # a level that is left nowhere is known to nobody
            gone[:, truth.columns.get_loc(column.name)] &= truth[column.name].isin(column.levels).to_numpy()
    truth = truth.where(gone | (holes != ""), "")
    shown = truth[:n], holes[:n], gone[:n]
    own = quality(table, *shown, filled_by_draws(draws, table, n)) | {"nats": nats_of(trained, *shown)}
    found = {"deep NADE": own | {"seconds": result["seconds_training"]}}
    wide = Wide(holes, table)
    for imputer, make in IMPUTERS.items():
        began = time.perf_counter()
        filled = wide.filled(make().fit(wide.x).transform(wide.x[:n]))
        found[imputer] = quality(table, *shown, filled) | {"seconds": round(time.perf_counter() - began, 1)}
    kept = {"rows": len(truth), "evaluated": n, "removed": int(gone[:n].sum()), "regime": result["regime"]}
    return kept | {"machine": machine("cpu"), "by": found}


def report(result: dict[str, Any]) -> str:
    """Return the table of the results in Markdown."""
    lines = ["| table | filled by | right categories | error of numbers | nats a cell |", "|---|---|---|---|---|"]
    for name, found in result.items():
        for by, row in found["by"].items():
            lines.append(f"| {name} | {by} | {row['accuracy']:.3f} | {row['rmse']:.3f} | {row['nats']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS), help="results of others stay")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tables" / "imputation.json")
    given = parser.parse_args()
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.is_file() else {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            result[name] = measure(name, given.data, Path(folder))
        write_json(result, given.out)
    print(report(result))


if __name__ == "__main__":
    command.run(main)
