"""Finished runs, read from their small files without weights or PyTorch.

A run is its `config.yaml`, `result.json`, `metrics.csv` and samples; the copies in `benchmarks/results/` will do.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from ar_lightning.config.overlay import Settings, flat, read_yaml
from ar_lightning.core.errors import UserError, nearby
from ar_lightning.core.files import WEIGHTS
from ar_lightning.core.program import program
from ar_lightning.core.reading import read_json, read_metrics
from ar_lightning.training.marks import marks
from ar_lightning.training.zoo import is_zoo, zoo_folder

__all__ = ["DoneRun", "Point", "Setting", "read_runs"]

SAME = 1e-6  # relative difference of two evaluations of one density on one split


class Setting(NamedTuple):
    """The settings in which two comparable likelihoods agree."""

    data: str  # name of the dataset, or of the user's file or folder
    regime: str  # its version and split
    part: str  # the examples that were scored
    given: str  # what the density was told of an example, nothing if empty


class Point(NamedTuple):
    """Validation after an epoch: epochs from one, seconds of training until then where known, and the value."""

    epoch: int
    seconds: float | None
    value: float  # bits/dim, or nats of a mixed table


@dataclass(frozen=True)
class DoneRun:
    """A run that is done."""

    name: str  # unique among the runs that are compared
    folder: Path  # the run directory
    config: Settings  # its settings, by dotted key
    result: dict[str, Any]  # content of `result.json`
    setting: Setting  # what its likelihood is of
    nll: float  # nats per example
    bpd: float | None  # bits per dimension; None of a mixed table
    errors: tuple[float | None, float | None]  # standard errors of both, where `run.py test` has written them
    curve: tuple[Point, ...]  # of validation
    notes: tuple[str, ...]  # what a reader of its numbers must know

    @property
    def unit(self) -> str:
        """Unit of the curve, and of `value`."""
        return "nats" if self.bpd is None else "bits/dim"

    @property
    def value(self) -> float:
        """Bits per dimension, or nats of a mixed table."""
        return self.nll if self.bpd is None else self.bpd

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.result["model"])

    @property
    def pruned(self) -> bool:
        """True if a sweep stopped the run early."""
        return self.result.get("state") == "pruned"


def read_runs(paths: Iterable[str | Path]) -> list[DoneRun]:
    """Read run directories and `zoo:NAME`; a sweep's stands for its complete trials, one named twice counts once."""
    folders = [f for path in paths for f in ([zoo_folder(path)] if is_zoo(path) else _folders(Path(path).expanduser()))]
    if not folders:
        raise UserError("nothing to compare: give run directories")
    return _named([_read(folder) for folder in {f.resolve(): f for f in folders}.values()])


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        if path.exists():
            raise UserError(f"{path}: a file; give the run directory")
        raise UserError(f"no run directory {path}{nearby(path)}")
    if not (path / "sweep.yaml").is_file():
        return [path]
    trials = [file.parent for file in sorted((path / "trials").glob("*/result.json"))]
    complete = [trial for trial in trials if read_json(trial / "result.json").get("state") == "complete"]
    if not complete:
        raise UserError(f"{path}: a sweep without a complete trial")
    return complete


def _read(folder: Path) -> DoneRun:
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: no config.yaml there, so it is no run directory")
    config = flat(str(folder / "config.yaml"), read_yaml(folder / "config.yaml"))
    file = folder / "result.json"
    if not file.is_file():
        raise UserError(f"{folder}: not done, there is no result.json; wait, or {program()} --resume {folder}")
    result = read_json(file)
    for key in ("experiment", "model", "data", "regime"):
        if not isinstance(result.get(key), str):
            raise UserError(f"{file}: has no '{key}', so it is not the result of one run")
    split = "test" if "test/nll" in result else "val"
    is_mixed = "columns" in result  # bits/dim say nothing of a mixed table
    keys = ("nll",) if is_mixed else ("nll", "bpd")
    nll, *bpd = (_number(result.get(f"{split}/{key}"), f"{file}: {split}/{key}") for key in keys)
    for key in ("parameters", "seconds_training", "samples_per_second"):
        if result.get(key) is not None:
            _number(result[key], f"{file}: {key}")
    errors, notes = _errors(folder, result, nll)
    told = {"model.conditional": "the label", "model.local": "aligned features"}
    given = str(result.get("given") or " and ".join(what for key, what in told.items() if config.get(key)))
    path = config.get("data.path")  # of the user's own data, which is called by its file or folder
    data = Path(path).stem if isinstance(path, str) and Path(path).stem else result["data"]
    setting = Setting(data, result["regime"], _part(config, result, split), given)
    curve = _curve(folder / "metrics.csv", result.get("seconds_training"), f"val/{keys[-1]}")
    about = (*_notes(config, result), *notes)
    return DoneRun(
        result["experiment"], folder, config, result, setting, nll, next(iter(bpd), None), errors, curve, about
    )


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where} is {'missing' if value is None else repr(value)}, expected a number") from None
    if not math.isfinite(number):
        raise UserError(f"{where} is {number}: the training diverged, and there is nothing to compare")
    return number


def _part(config: Settings, result: dict[str, Any], split: str) -> str:
    if split == "test":
        return f"{result['test_examples']} test examples" if "test_examples" in result else "test"
    limit = config.get("trainer.limit_val")
    return "validation" if limit is None else f"the first {limit} batches of validation"


def _notes(config: Settings, result: dict[str, Any]) -> list[str]:
    notes = ["stopped early by its sweep"] if result.get("state") == "pruned" else []
    if "test/nll" not in result:
        notes.append("validation data: it was not tested")
    notes += marks(config)
    if members := result.get("members"):
        notes.append(f"an average over {members} orders or masks")
    if (truth := result.get("test/true_nll")) is not None:
        notes.append(f"the entropy of the data is {truth:.2f} nats")
    if (accuracy := result.get("test/accuracy")) is not None:
        notes.append(f"classifies {100 * accuracy:.1f} % right")
    return notes


def _errors(folder: Path, result: dict[str, Any], nll: float) -> tuple[tuple[float | None, float | None], list[str]]:
    """Return standard errors from `test.json`, which may also be of other data than the run's, and notes on them."""
    file = folder / "test.json"
    if not file.is_file() or "test/nll" not in result:
        return (None, None), []
    found = read_json(file)
    theirs = [found.get(key) for key in ("split", "data", "regime", "examples")]
    if theirs != ["test", result["data"], result["regime"], result.get("test_examples")]:
        return (None, None), ["test.json is of other data, and not used"]
    if not math.isclose(_number(found.get("nll"), f"{file}: nll"), nll, rel_tol=SAME):
        return (None, None), ["test.json is not of the same weights, and not used"]
    pair = [None if found.get(k) is None else _number(found[k], f"{file}: {k}") for k in ("nll_stderr", "bpd_stderr")]
    notes = [] if found.get("independent", True) else ["windows of one text: the errors may be too small"]
    return (pair[0], pair[1]), notes


def _curve(file: Path, seconds: float | None, key: str) -> tuple[Point, ...]:
    """Return the validation curve, which an exported run does not have.

    The log has examples per second. Epochs have as many examples each, so that an epoch takes its share, by the inverse
    of its rate, of all seconds of training.
    """
    if not file.is_file() and file.with_name(WEIGHTS).is_file():
        return ()
    if not file.is_file():
        raise UserError(f"{file.parent}: no metrics.csv there, which holds its curve")
    _, rows = read_metrics(file)

    def column(name: str) -> dict[int, float]:
        where = f"{file}: {name}"
        return {int(_number(r["epoch"], f"{file}: epoch")): _number(r[name], where) for r in rows if r.get(name)}

    values, rates = column(key), column("throughput/examples_per_second")
    spent: dict[int, float] = {}
    if seconds and list(rates) == list(range(len(rates))) and all(rate > 0 for rate in rates.values()):
        whole = sum(1 / rate for rate in rates.values())
        spent = dict(enumerate(accumulate(seconds / (rate * whole) for rate in rates.values())))
    return tuple(Point(epoch + 1, spent.get(epoch), value) for epoch, value in values.items())


def _named(runs: Sequence[DoneRun]) -> list[DoneRun]:
    """Name runs by their experiment; of two that have the same, with their folder or more of their path."""
    paths = [run.folder.resolve().parts for run in runs]
    names = [run.name for run in runs]
    for n in range(1, max(map(len, paths)) + 1):
        tails = ["/".join(parts[-n:]) for parts in paths]
        longer = [f"{run.name} {tail}" if n == 1 else tail for run, tail in zip(runs, tails, strict=True)]
        names = [longer[i] if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
