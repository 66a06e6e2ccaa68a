"""Tell other data from a density's own: `python run.py anomaly RUN --against mnist`.

Equal numbers of own test examples and of outliers are scored by their likelihood, and by three scores that repair its
known failure (see `scores`). Labels are ignored: a conditional density is scored by
log p(x) = log sum_y p(x | y) p(y). Windows of a text are scored independently.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ar_lightning.config.registry import DATA
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import write_csv, write_json, written
from ar_lightning.data.base import Split
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import MAX_CLASSES
from ar_lightning.inference.anomaly.outliers import SYNTHETIC, outliers, own_examples, spread, training_examples
from ar_lightning.inference.anomaly.scores import Metrics, code_bits, independent_nll, metrics_of, scores_of
from ar_lightning.inference.evaluate import log_class_prior, scores
from ar_lightning.inference.inputs import input_data
from ar_lightning.inference.open import Run, open_run
from ar_lightning.media.choose import media_of
from ar_lightning.media.plots import plain_text

__all__ = ["Anomaly", "Detector", "anomaly", "background_of_ratio", "nll_of"]

AXES = {  # of the scores
    "likelihood": "-log p(x), nats",
    "likelihood_ratio": "log p_background(x) - log p(x), nats",
    "complexity": "-log p(x) - coded size, bits",
    "typicality": "|-log p(x) - H|, nats",
}
TRAINED_ON, VALUES = 10_000, 2**25  # training examples, and values in them, that frequencies are counted of, at most
SHOWN = 16  # outliers that are drawn or written
FOOLED = 0.05  # of the outliers, above which it is said that they are likelier than half of the own examples
BINS = 40
TAIL = 0.005  # of each side's scores, at each end, that may lie beyond the axis: one of them would flatten the rest
COLOURS = ("#33658a", "#e4572e")
FILES = {"metrics": "anomaly.json", "scores": "scores.csv", "histograms": "histograms.png"}

Scores = dict[str, tuple[np.ndarray, np.ndarray]]  # by name, of own examples and of outliers


@dataclass(frozen=True)
class Detector:
    """A score and what it is worth."""

    score: str
    own: float  # mean over the density's own examples
    outliers: float  # mean over the outliers
    metrics: Metrics  # of telling them


@dataclass(frozen=True)
class Anomaly:
    """The result of `anomaly`."""

    data: str  # the run's own dataset
    against: str  # what was set against it
    examples: int  # number of examples on each side
    background: str  # what the likelihood ratio is against
    detectors: tuple[Detector, ...]  # the likelihood first
    notes: tuple[str, ...]  # sentences about what was found, or left out
    files: dict[str, Path]  # by kind


def anomaly(
    run: str, against: str, background: str | None = None, n: int = 1000, out: str | None = None,
    overrides: Sequence[str] = (),
) -> Anomaly:  # fmt: skip
    """Score a density's own test examples and others, and write the metrics, every score and histograms.

    Args:
        run: the run directory or checkpoint.
        against: noise, constant, the name of a dataset, or a file or folder.
        background: the run of another density of the same data, for the likelihood ratio; null for the frequencies of
            each site in the training data.
        n: examples on each side; fewer where there are not as many.
        out: folder of the files; `anomaly/AGAINST` in the run directory if null.
        overrides: `key=value` of the run's own data, and of where to compute.

    Raises:
        UserError: there is no such run or data, or the density does not take it.
    """
    opened = open_run(run, overrides)
    density, data, seed = opened.density, opened.data(), opened.config["seed"]
    behind = background_of_ratio(background, opened)  # first: a wrong one is told before anything takes time
    own = own_examples(density, data, n)
    train = training_examples(density, data, max(1, min(TRAINED_ON, VALUES // density.spec.dims)), seed)
    others, changes = outliers(opened, run, against, train, own, n)
    n = min(len(own.x), len(others.x))
    found = _scores(opened, data, behind, train, (spread(own, n), spread(others, n)))
    detectors = tuple(Detector(k, float(a.mean()), float(b.mean()), metrics_of(a, b)) for k, (a, b) in found.items())
    notes = (*changes, *_notes(detectors, found["likelihood"], behind is not None))
    folder = Path(out).expanduser() if out else opened.folder / "anomaly" / _name(against)
    files = {kind: folder / name for kind, name in FILES.items()}
    behind_name = background or "frequencies of the training data"
    result = Anomaly(opened.config["data"]["name"], against, n, behind_name, detectors, notes, files)
    _write(result, found, spread(others, SHOWN), opened)
    return result


def _scores(opened: Run, data: ArrayDataModule, behind: Run | None, train: Split, sides: tuple[Split, Split]) -> Scores:
    """Return every score that there is of own examples and of outliers."""
    spec = opened.density.spec
    entropy = float(nll_of(opened, data, spread(train, len(sides[0].x))).mean())
    ground = (behind, behind.data()) if behind else None
    found = []
    for side in sides:
        background = nll_of(*ground, side) if ground else independent_nll(train.x, side.x, spec)
        found.append(scores_of(nll_of(opened, data, side), background, entropy, code_bits(side.x, spec)))
    return {name: (found[0][name], found[1][name]) for name in found[0]}


def background_of_ratio(run: str | None, opened: Run) -> Run | None:
    """Open the background density, which has to be of the same data."""
    if run is None:
        return None
    behind = open_run(run)
    own, other = opened.density.spec, behind.density.spec
    if (own.shape, own.levels, own.quantised, own.medium) != (other.shape, other.levels, other.quantised, other.medium):
        same = "" if str(own) != str(other) else ", in other units or characters"
        raise UserError(f"--background {run}: was trained for {other}{same}, and this density for {own}")
    if behind.density.model.features and not opened.density.model.features:
        raise UserError(f"--background {run}: reads features, and this density does not")
    if other.context and len(own.context) != len(other.context):
        raise UserError(f"--background {run}: reads vectors of {len(other.context)} numbers, and this density does not")
    return behind


def nll_of(opened: Run, data: ArrayDataModule, examples: Split) -> np.ndarray:
    """Return -log p(x) `(N,)` in nats of examples; how frequent classes are, the training labels of `data` say."""
    density = opened.density
    prior = log_class_prior(density, data)
    if density.conditional and prior is None:
        raise UserError(f"log p(x) sums over classes: {density.spec.classes} are more than {MAX_CLASSES}")
    module = input_data(examples, density.spec, opened.config["seed"])
    with opened.computing():
        parts = [part.nll.double().cpu() for part in scores(density, module, log_prior=prior, parts=False)]
    nll: np.ndarray = torch.cat(parts).numpy()
    if np.isnan(nll).any():
        raise UserError("this density gives no likelihood but NaN: it has diverged in training")
    # What has no probability at all is the most anomalous; metrics and means take finite numbers.
    return nll.clip(max=np.finfo(np.float32).max)


def _notes(detectors: tuple[Detector, ...], nll: tuple[np.ndarray, np.ndarray], background: bool) -> tuple[str, ...]:
    """Return sentences on the metrics: where the likelihood fails, which score repairs it, which does not."""
    first, *others = detectors
    notes = []
    likelier = float((nll[1] < np.median(nll[0])).mean())
    if first.metrics.auroc < 0.5:
        pairs = 1 - first.metrics.auroc
        notes.append(f"The likelihood prefers the outliers: in {pairs:.0%} of pairs the outlier is the likelier one.")
    elif likelier > FOOLED:
        notes.append(f"The likelihood is fooled by {likelier:.0%} of the outliers: likelier than half of its own data.")
    best = max(others, key=lambda detector: detector.metrics.auroc)
    if notes and best.metrics.auroc > max(0.5, first.metrics.auroc):
        notes.append(f"Mended best by {_plain(best.score)}: AUROC {best.metrics.auroc:.3f}.")
    for detector in others:
        if detector.metrics.auroc < 0.5:
            poor = detector.score == "likelihood_ratio" and not background
            why = ": frequencies are a poor background here; --background takes another" if poor else ""
            notes.append(f"The score {_plain(detector.score)} prefers the outliers itself{why}.")
    if all(detector.score != "complexity" for detector in detectors):
        notes.append("No complexity: real values have no lossless code to compare with.")
    return tuple(notes)


def _plain(score: str) -> str:
    return score.replace("_", " ")


def _name(against: str) -> str:
    return against if against in (*SYNTHETIC, *DATA) else Path(against).expanduser().resolve().stem


def _write(result: Anomaly, found: Scores, shown: Split, opened: Run) -> None:
    """Write the files of a result, and some of its outliers."""
    files = result.files
    rows = []
    for i, side in enumerate(("own", "outliers")):
        columns = [[f"{value:.9g}" for value in sides[i].tolist()] for sides in found.values()]
        rows += [[side, *row] for row in zip(*columns, strict=True)]
    write_csv(["set", *found], rows, files["scores"])
    _draw(result, found, f"{opened.config['model']['name']} on {result.data} against {_name(result.against)}")
    media = media_of(opened.density.spec.without_noise())
    seen = media.write_samples(torch.from_numpy(shown.x), files["metrics"].with_name("outliers"))
    files.update({f"outliers, {kind}": path for kind, path in seen.items()})
    plain = asdict(result) | {
        "detectors": {
            d.score: {"own": d.own, "outliers": d.outliers, **d.metrics._asdict()} for d in result.detectors
        },
        "files": {kind: path.name for kind, path in files.items()},
    }  # fmt: skip
    write_json(plain, files["metrics"])


@plain_text()
def _draw(result: Anomaly, found: Scores, title: str) -> None:
    """Draw histograms of the scores of both sides, overlaid, a panel for each score."""
    from matplotlib.figure import Figure

    names = f"own: {result.data}", f"outliers: {_name(result.against)}"
    rows = -(-len(found) // 2)
    figure = Figure(figsize=(9.6, 0.9 + 2.7 * rows), layout="constrained")
    for place, detector in enumerate(result.detectors, 1):
        axes: Any = figure.add_subplot(rows, 2, place)
        sides = found[detector.score]
        low = min(np.quantile(side, TAIL) for side in sides)
        high = max(np.quantile(side, 1 - TAIL) for side in sides)
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        for colour, name, side in zip(COLOURS, names, sides, strict=True):
            shown = side.clip(edges[0], edges[-1])  # what lies beyond is in the outermost bar
            weights = np.full(len(side), 1 / len(side))
            look = {"color": colour, "edgecolor": colour, "alpha": 0.5, "histtype": "stepfilled"}
            axes.hist(shown, edges, weights=weights, label=name, **look)
        axes.set_title(f"{_plain(detector.score)}: AUROC {detector.metrics.auroc:.3f}", fontsize=10)
        axes.set_xlabel(AXES[detector.score], fontsize=9)
        axes.set_ylabel("fraction of examples", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=7)
    figure.suptitle(title, fontsize=11)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    with written(result.files["histograms"]) as partial:
        figure.savefig(partial, format="png", dpi=120)
