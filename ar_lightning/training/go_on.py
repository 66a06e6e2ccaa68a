"""Say at the end of a training that it was still improving, and how to go on with it."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.program import program
from ar_lightning.core.reading import read_metrics

__all__ = ["how_to_go_on", "still_improving"]

FEWEST = 5  # validations that a judgement takes
SIGNIFICANT = 4.0  # standard errors of the slope
WORTHWHILE = 0.005  # of all that was gained since the first validation


def how_to_go_on(config: dict[str, Any], result: dict[str, Any], run_dir: Path) -> str | None:
    """Return a line with the command that makes a training longer, if it still improved when it reached its limit."""
    values: list[float] = []
    with suppress(UserError):  # a file that has been damaged costs the advice, and no more
        values = [float(row["val/nll"]) for row in read_metrics(run_dir / "metrics.csv")[1] if row.get("val/nll")]
    trainer = config["trainer"]
    limits = [f"max_{unit}" for unit in ("epochs", "steps") if result[unit] >= (trainer[f"max_{unit}"] or np.inf)]
    finished = bool(limits)  # so is a schedule whose length is that of the training
    limits = limits or ["max_hours"] * bool(trainer["max_hours"])
    stopped = trainer["early_stopping"] is not None and _since_best(values) >= trainer["early_stopping"]
    if not limits or stopped or not still_improving(values):
        return None
    longer = " ".join(f"trainer.{limit}={2 * trainer[limit]:g}" for limit in limits)
    if finished and config["schedule"]["name"] == "cosine":
        again = f"--config {shlex.quote(str(run_dir / 'config.yaml'))} run_dir=null {longer}"
        return f"still improving at the last epoch, where its schedule ended; train longer with: {program()} {again}"
    return f"still improving at the last epoch; go on with: {program()} --resume {shlex.quote(str(run_dir))} {longer}"


def still_improving(values: Sequence[float]) -> bool:
    """Return whether the validation values of a training, in nats, still fall where they end.

    Two things must hold. The line through the last third, five values at least, falls by more than four standard
    errors of its slope: it is no noise. The last tenth brought more than half a percent of all that was gained since
    the first value: it is worth going on, which it is not at the end of a cosine, whose last steps are tiny.
    """
    n = len(values)
    if n < FEWEST:
        return False
    tail = np.array(values[-max(FEWEST, -(-n // 3)) :])
    t = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope = t @ tail / (t @ t)
    rest = tail - tail.mean() - slope * t
    error = np.sqrt(rest @ rest / (len(tail) - 2) / (t @ t))
    late, best = -(-n // 10), min(values)
    return bool(slope < -SIGNIFICANT * error and min(values[:-late]) - best > WORTHWHILE * (values[0] - best))


def _since_best(values: Sequence[float]) -> int:
    """Return the validations since the best one."""
    return len(values) - 1 - int(np.argmin(values)) if len(values) else 0
