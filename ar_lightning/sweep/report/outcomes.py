"""Trials and their values for people: which ran, which is best, and units."""

from collections.abc import Sequence
from datetime import datetime

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.sweep.study import NEVER_RAN, outcome_of
from ar_lightning.training.trial_pipe import METRICS

__all__ = ["amount", "best_first", "current", "duration", "metrics_of", "ran", "retries", "value_text", "with_unit"]


def ran(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that were started, by number."""
    return sorted((t for t in trials if outcome_of(t) not in ("waiting", *NEVER_RAN)), key=lambda t: t.number)


def retries(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Return the number of each retry, by the number of the trial it repeats."""
    attempts = ((t.user_attrs.get("retry_of"), t) for t in trials if outcome_of(t) not in NEVER_RAN)
    return {earlier[-1]: t.number for earlier, t in attempts if earlier}


def metrics_of(study: Study) -> list[str]:
    """Return the metrics of the objectives."""
    return [str(objective["metric"]) for objective in study.user_attrs["definition"]["objectives"]]


def best_first(trials: Sequence[FrozenTrial], direction: StudyDirection, objective: int = 0) -> list[FrozenTrial]:
    """Return the complete trials, the best by one objective first; of equals, the earlier one."""
    sign = -1 if direction is StudyDirection.MAXIMIZE else 1
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    return sorted(complete, key=lambda t: (sign * t.values[objective], t.number))


def current(trial: FrozenTrial) -> float | None:
    """Return the first objective: the final value, or that of the last epoch, or None."""
    if trial.state is TrialState.COMPLETE:
        return float(trial.values[0])
    return trial.intermediate_values[trial.last_step] if trial.last_step is not None else None


def duration(trial: FrozenTrial, now: datetime | None = None) -> float | None:
    """Return the seconds that a trial took, or has taken until now, if known."""
    if "seconds" in trial.user_attrs and trial.state.is_finished():
        return float(trial.user_attrs["seconds"])
    end = trial.datetime_complete or now
    return (end - trial.datetime_start).total_seconds() if end and trial.datetime_start else None


def with_unit(metric: str) -> str:
    """Return a metric with its unit, as the label of an axis.

    Example:
        >>> with_unit("val/bpd")
        'val/bpd (bits/dim)'
    """
    unit = METRICS[metric].unit
    return f"{metric} ({unit})" if unit else metric


def amount(value: float, metric: str) -> str:
    """Write the value of a metric, with its unit."""
    return f"{value_text(value)} {METRICS[metric].unit}".rstrip()


def value_text(value: float | None) -> str:
    """Write a number with five digits, nothing where there is none.

    Example:
        >>> [value_text(value) for value in (0.001234567, 2.98, 12345.678, 52_000, None)]
        ['0.0012346', '2.9800', '12,346', '52,000', '']
    """
    if value is None:
        return ""
    if isinstance(value, int) or (1e4 <= abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:#.5g}".removesuffix(".")
