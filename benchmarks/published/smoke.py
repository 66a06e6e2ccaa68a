"""A minute of a published row's training beside the curve that is kept of it: `python run.py reproduce NAME --smoke`.

The seed and so the batches are those of the kept run: where nothing is wrong, the losses of the same steps are almost
those of then. They are compared in the second half of the minute, when the first great steps are over.
"""

import csv
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from ar_lightning.config.checks import check_config
from ar_lightning.config.overlay import flat, parse_overrides
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from benchmarks.published.rows import ROOT, changed, read_reproduction

__all__ = ["Smoke", "beside", "smoke"]

SECONDS = 60.0
BAND = 0.05  # of the kept loss, for other rounding and other versions of what computes
ERRORS = 3  # standard errors of the mean difference that the band is wider by: other batches have other losses


class Smoke(NamedTuple):
    """The start of a training beside the kept one.

    Args:
        steps: optimizer steps that were done.
        seconds: of training that they took.
        whole: seconds of training that the whole would take at this pace.
        kept: those that it took, on the machine of the kept result.
        machine: that one.
        first: the first step that is compared.
        last: the last.
        loss: mean training loss of these steps in nats.
        kept_loss: the same of the kept curve.
        allowed: largest difference of the two that is on track.
    """

    steps: int
    seconds: float
    whole: float
    kept: float
    machine: str
    first: int
    last: int
    loss: float
    kept_loss: float
    allowed: float

    @property
    def on_track(self) -> bool:
        """Whether the losses are those of the kept curve, up to what is allowed."""
        return abs(self.loss - self.kept_loss) <= self.allowed


def smoke(name: str, overrides: Sequence[str] = (), seconds: float = SECONDS, root: Path = ROOT) -> Smoke:
    """Train a row for so many seconds, of a table its first fold, and compare the losses; nothing is kept.

    Raises:
        UserError: the row has no kept curve, an override makes another experiment of it, or the time is too short.
    """
    row = read_reproduction(name, root)
    if row.result is None or not (row.folder / "metrics.csv").is_file():
        raise UserError(f"{name}: has no kept curve to compare with; `reproduce {name}` trains it")
    if other := changed(row.config, flat(name, load_config(row.file, overrides))):
        raise UserError(f"reproduce --smoke: {', '.join(other)}: the kept curve is of another experiment; leave it out")
    if "run_dir" in parse_overrides(overrides)[1]:
        raise UserError("reproduce --smoke: run_dir: nothing of this minute is kept; leave it out")
    fold = ["data.fold=0"] if row.folded else []
    config = load_config(row.file, [*overrides, *fold, "tracking.mode=disabled", "samples.every=0", "samples.n=1"])
    config["trainer"] |= {"max_hours": seconds / 3600, "limit_val": 1, "limit_test": 1}
    dataset = check_config(config)

    from ar_lightning.training.fit import run as train  # now that all else is well: it imports PyTorch

    with tempfile.TemporaryDirectory() as folder:
        result = train(config, dataset, Path(folder) / name)
        losses = read_losses(Path(folder) / name / "metrics.csv")
    kept = read_losses(row.folder / "metrics.csv")
    took = (row.result["per_fold"][0] if row.folded else row.result)["seconds_training"]
    seconds, steps = result["seconds_training"], result["steps"]
    whole = max(kept) / steps * seconds  # the last loss is of one of the last steps
    machine = row.result.get("machine") or "a machine that is not known"
    return Smoke(steps, seconds, whole, took, machine, *beside(losses, kept))


def read_losses(metrics: Path) -> dict[int, float]:
    """Return the training losses in nats by step, of a `metrics.csv`."""
    with metrics.open(newline="", encoding="utf-8") as file:
        return {int(line["step"]): float(line["train/loss"]) for line in csv.DictReader(file) if line["train/loss"]}


def beside(ours: Mapping[int, float], kept: Mapping[int, float]) -> tuple[int, int, float, float, float]:
    """Compare the losses of the steps that both have, of their second half.

    Returns:
        The first and the last of these steps, the mean of ours, that of the kept ones, and what they may differ by.

    Raises:
        UserError: there are fewer than two.
    """
    both = sorted(ours.keys() & kept.keys())
    steps = both[len(both) // 2 :]
    if len(steps) < 2:
        most = max(ours, default=0)
        raise UserError(f"reproduce --smoke: too slow here to tell: {most} steps are not enough to compare a curve")
    off = [ours[step] - kept[step] for step in steps]
    loss, kept_loss = (fmean(of[step] for step in steps) for of in (ours, kept))
    return steps[0], steps[-1], loss, kept_loss, BAND * abs(kept_loss) + ERRORS * stdev(off) / math.sqrt(len(off))
