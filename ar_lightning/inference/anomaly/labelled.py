"""Find known rare cases among rows: `python run.py anomaly RUN --against new.csv --labels class`.

Every row of a file is scored by its likelihood, and by scikit-learn's detectors, which are fitted to the same training
rows. No score is told the labels: they only say afterwards what it is worth.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ar_lightning.core.errors import UserError, nearby
from ar_lightning.core.files import write_csv, write_json, written
from ar_lightning.core.medium import MixedTable, Table
from ar_lightning.inference.anomaly.anomaly import background_of_ratio, nll_of
from ar_lightning.inference.anomaly.baselines import baselines
from ar_lightning.inference.anomaly.known import Known, read_known
from ar_lightning.inference.anomaly.outliers import training_examples
from ar_lightning.inference.open import open_run
from ar_lightning.media.plots import drawn, plain_text

__all__ = ["Found", "Labelled", "Worth", "labelled", "precision_at", "worth_of"]

MOST = 50_000  # training rows that the detectors of scikit-learn are fitted to: one of them compares all pairs
FILES = {"metrics": "anomaly.json", "scores": "scores.csv", "curves": "curves.png"}
LIKELIHOOD = "-log p(x)"


class Worth(NamedTuple):
    """What a score is worth; rare cases are the positives."""

    auroc: float  # probability that a rare case has the higher score; 0.5 by chance
    average_precision: float  # the fraction of rare cases by chance
    precision_at_n: (
        float  # fraction of rare cases in the n rows of the highest scores, n as many as there are rare cases
    )


@dataclass(frozen=True)
class Found:
    """A detector and what it found."""

    detector: str
    settings: str
    worth: Worth


@dataclass(frozen=True)
class Labelled:
    """The result of `labelled`."""

    data: str  # the run's own dataset
    against: str  # the file
    labels: str  # its column
    rare: str  # the label of a rare case
    rows: int
    rare_rows: int
    trained_on: int  # rows that the detectors of scikit-learn were fitted to
    found: tuple[Found, ...]  # the density first
    notes: tuple[str, ...]  # sentences about what was taken for what, or left out
    files: dict[str, Path]  # by kind


def labelled(
    run: str, against: str, labels: str, rare: str | None = None, background: str | None = None,
    out: str | None = None, overrides: Sequence[str] = (),
) -> Labelled:  # fmt: skip
    """Score the rows of a file and compare with the labels; write the metrics, every score and curves.

    Args:
        run: the run directory or checkpoint, of a table.
        against: a CSV, Parquet or Excel file.
        labels: its column that says which rows are the known rare cases; the density does not have it.
        rare: the label of a rare case; null for the rarer of two.
        background: the run of another density of the same data; its likelihood ratio is then a score, too.
        out: folder of the files; `anomaly/FILE-labelled` in the run directory if null.
        overrides: `key=value` of the run's own data, and of where to compute.

    Raises:
        UserError: there is no such run, file or column, the labels do not tell the rare cases, or the density does not
            take the rows.
    """
    path = Path(against).expanduser()
    if not path.is_file():
        raise UserError(f"--against {against}: no such file; --labels takes a file of rows{nearby(path)}")
    opened = open_run(run, overrides)
    behind = background_of_ratio(background, opened)
    spec, medium = opened.density.spec, opened.density.spec.medium
    known = read_known(path, labels, rare, spec, opened.config, opened.density.model.orderless)
    assert isinstance(medium, (Table, MixedTable))
    data = opened.data()
    train = training_examples(opened.density, data, MOST, opened.config["seed"])
    nll = nll_of(opened, data, known.rows)
    scores, settings = {LIKELIHOOD: nll}, {LIKELIHOOD: "of this density, in nats"}
    if behind:
        name = "likelihood ratio"
        scores[name] = nll - nll_of(behind, behind.data(), known.rows)
        settings[name] = f"log p(x) of {background} less that of this density, in nats"
    notes = [*known.notes, *_about_training(opened.config, path, len(train.x), data.size("train"))]
    for baseline in baselines(train.x, known.rows.x, medium):
        notes += baseline.notes
        if baseline.scores is not None:
            scores[baseline.name], settings[baseline.name] = baseline.scores, baseline.settings
    notes += _about_rows(train.x, medium)
    folder = Path(out).expanduser() if out else opened.folder / "anomaly" / f"{path.stem}-labelled"
    found = tuple(Found(name, settings[name], worth_of(known.is_rare, score)) for name, score in scores.items())
    result = Labelled(
        opened.config["data"]["name"], against, labels, known.rare, len(known.labels), int(known.is_rare.sum()),
        len(train.x), found, tuple(notes), {kind: folder / name for kind, name in FILES.items()},
    )  # fmt: skip
    _write(result, known, scores, f"{opened.config['model']['name']} on {path.name}")
    return result


def worth_of(is_rare: np.ndarray, score: np.ndarray) -> Worth:
    """Return what a score `(N,)` is worth by the truth `(N,)`, which has rows of both kinds."""
    area, precision = roc_auc_score(is_rare, score), average_precision_score(is_rare, score)
    return Worth(float(area), float(precision), precision_at(is_rare, score, int(is_rare.sum())))


def precision_at(is_rare: np.ndarray, score: np.ndarray, n: int) -> float:
    """Return the fraction of rare cases in the n rows of the highest scores; of equal scores any may be taken.

    Example:
        >>> precision_at(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0]), 2)
        0.5
        >>> precision_at(np.array([1, 1, 0, 0]), np.array([7.0, 7.0, 7.0, 1.0]), 2)  # 2 of 3, on average
        0.6666666666666666
    """
    last = np.sort(score)[-n]
    above, equal = score > last, score == last
    return float((is_rare[above].sum() + (n - above.sum()) * is_rare[equal].mean()) / n)


def _about_rows(train: np.ndarray, medium: Table | MixedTable) -> list[str]:
    """Say how scikit-learn's detectors read what is no number."""
    categories = isinstance(medium, MixedTable) and any(column.kind == "category" for column in medium.columns)
    done = ["categories are one-hot"] if categories else []
    if np.isnan(train).any():
        done.append("missing cells have the median or the most frequent level of their column")
    return [f"For scikit-learn's detectors {' and '.join(done)}."] if done else []


def _about_training(config: dict[str, Any], path: Path, used: int, rows: int) -> list[str]:
    notes = []
    if used < rows:
        notes.append(f"scikit-learn's detectors are fitted to {used:,} of the {rows:,} training rows.")
    trained = config["data"].get("path")
    if trained and Path(trained).expanduser().resolve() == path.resolve():
        notes.append("The density and the detectors were trained on rows of this very file.")
    return notes


def _write(result: Labelled, known: Known, scores: dict[str, np.ndarray], title: str) -> None:
    """Write the files of a result."""
    columns = [[f"{value:.9g}" for value in score.tolist()] for score in scores.values()]
    rows = zip(range(result.rows), known.labels, known.is_rare.astype(int).tolist(), *columns, strict=True)
    write_csv(["index", "label", "rare", *scores], rows, result.files["scores"])
    drawn(result.files["curves"], lambda: _draw(result, known.is_rare, scores, title))
    plain = asdict(result) | {
        "found": {f.detector: {**f.worth._asdict(), "settings": f.settings} for f in result.found},
        "files": {kind: path.name for kind, path in result.files.items()},
    }
    write_json(plain, result.files["metrics"])


@plain_text()
def _draw(result: Labelled, is_rare: np.ndarray, scores: dict[str, np.ndarray], title: str) -> None:
    """Draw the ROC and the precision-recall curve of every score."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    roc: Any = figure.add_subplot(1, 2, 1)
    pr: Any = figure.add_subplot(1, 2, 2)
    for found, score in zip(result.found, scores.values(), strict=True):
        look = {"label": found.detector, "linewidth": 2 if found.detector == LIKELIHOOD else 1.2}
        false, true, _ = roc_curve(is_rare, score)
        roc.plot(false, true, **look)
        precision, recall, _ = precision_recall_curve(is_rare, score)
        pr.step(recall, precision, where="pre", **look)
    chance = {"color": "0.6", "linestyle": ":", "label": "chance"}
    roc.plot((0, 1), (0, 1), **chance)
    pr.axhline(is_rare.mean(), **chance)
    roc.set(xlabel="usual rows taken for rare", ylabel="rare rows found", title="ROC")
    pr.set(xlabel="rare rows found (recall)", ylabel="precision", title="precision and recall", ylim=(0, 1.02))
    for axes in (roc, pr):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{title}: {result.rare_rows:,} rare of {result.rows:,} rows", fontsize=11)
    handles = roc.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]), frameon=False, fontsize=9)
    with written(result.files["curves"]) as partial:
        figure.savefig(partial, format="png", dpi=120)
