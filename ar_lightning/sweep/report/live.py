"""A sweep as it runs: a live table on a terminal, elsewhere a line for each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ar_lightning.sweep.report.outcomes import best_first, current, duration, ran, retries, unit, value_text
from ar_lightning.sweep.study import is_counted, outcome_of

__all__ = ["LiveTable", "Row", "events", "head", "remaining", "rows"]

FINISHED = 10  # rows of trials that have ended
STYLES = {"running": "cyan", "complete": "green", "pruned": "yellow", "failed": "red", "lost": "red"}
Objectives = Sequence[Mapping[str, str]]  # metric and direction of each


@dataclass(frozen=True)
class Row:
    """A trial as the table shows it."""

    number: int
    state: str
    epoch: str
    value: str  # now, or at the end
    best: str  # of its epochs
    elapsed: str
    params: str
    is_best: bool  # of all complete trials, by the first objective


def rows(trials: Sequence[FrozenTrial], objectives: Objectives, now: datetime, finished: int = FINISHED) -> list[Row]:
    """Return the running trials, the longest first, then the last that ended, the latest first."""
    best = best_first(trials, _direction(objectives))
    running = [t for t in ran(trials) if t.state is TrialState.RUNNING]
    ended = [t for t in ran(trials) if t.state.is_finished()]
    ended = sorted(ended, key=lambda t: (t.datetime_complete or now, t.number), reverse=True)
    return [_row(t, objectives, now, t is best[0] if best else False) for t in (*running, *ended[: max(finished, 0)])]


def _row(trial: FrozenTrial, objectives: Objectives, now: datetime, is_best: bool) -> Row:
    value, curve = current(trial), [*trial.intermediate_values.values()]
    best = (min if _direction(objectives) is StudyDirection.MINIMIZE else max)(curve, default=value)
    seconds = duration(trial, now)
    epochs = trial.last_step or trial.user_attrs.get("epochs")
    return Row(
        number=trial.number,
        state=outcome_of(trial),
        epoch="" if epochs is None else str(epochs),
        value=_values(trial) if value is not None else "",
        best="" if best is None or len(objectives) > 1 else value_text(best),
        elapsed="" if seconds is None else _time(seconds),
        params=_short(trial.params),
        is_best=is_best,
    )


def head(
    study: str,
    trials: Sequence[FrozenTrial],
    objectives: Objectives,
    total: int | None,
    workers: int,
    elapsed: float,
    now: datetime,
) -> list[str]:
    """Return how the sweep stands, in one line for the counts and one for the best."""
    done = [t for t in trials if is_counted(t)]
    failed = sum(outcome_of(t) == "failed" for t in trials)
    of = f"{len(done)}/{total}" if total is not None else f"{len(done)}"
    left = remaining(trials, total, workers, now)
    if total is not None and len(done) >= total:
        ahead = "done"
    else:
        ahead = "remaining unknown" if left is None else f"about {_time(left)} remaining"
    counts = [f"{study}: {of} trials", *([f"{failed} failed"] if failed else [])]
    line = ", ".join([*counts, f"{_time(elapsed)} elapsed", ahead])
    metric = objectives[0]["metric"]
    ranked = best_first(trials, _direction(objectives))
    best = f"{value_text(ranked[0].values[0])} {unit(metric)}".rstrip() if ranked else ""
    return [line, f"best {metric}: {best}, trial {ranked[0].number}" if ranked else "no trial is complete yet"]


def remaining(trials: Sequence[FrozenTrial], total: int | None, workers: int, now: datetime) -> float | None:
    """Estimate the seconds until the total is met, from the mean of the trials that ended; None if nobody can know.

    What running trials have behind them counts; other machines may run more than this one's workers.
    """
    spent = [seconds for t in trials if is_counted(t) and (seconds := duration(t)) is not None]
    running = [t for t in trials if t.state is TrialState.RUNNING]
    left = 0 if total is None else total - sum(map(is_counted, trials))
    if not spent or left <= 0:
        return None
    mean = sum(spent) / len(spent)
    behind = sum(min(mean, duration(t, now) or 0.0) for t in running)
    return max(0.0, left * mean - behind) / min(max(len(running), workers), left)


def events(
    before: Mapping[int, str], trials: Sequence[FrozenTrial], objectives: Objectives, now: datetime
) -> list[str]:
    """Return what happened, a line each, oldest first.

    Args:
        before: what had become of each trial at the last look, by number (`outcome_of`).
        trials: all trials now.
        objectives: metric and direction of each.
        now: the time, for how long ended trials took.
    """
    metric = objectives[0]["metric"]
    best = best_first(trials, _direction(objectives))
    again = retries(trials)
    lines = []
    for trial in ran(trials):
        state, was = outcome_of(trial), before.get(trial.number)
        if state == was:
            continue
        name = f"trial {trial.number}"
        if was != "running":  # it may have ended since the last look
            attempts = trial.user_attrs.get("retry_of")
            retry = f", a retry of trial {attempts[-1]}" if attempts else ""
            lines.append(f"{name} started{retry}: {_short(trial.params)}".rstrip(": "))
        value, seconds = current(trial), duration(trial, now)
        took = "" if seconds is None else f" in {_time(seconds)}"
        shown = "" if value is None else f": {metric} {value_text(value)}"
        match state:
            case "complete":
                first = ", the best so far" if trial is best[0] else ""
                lines.append(f"{name} complete{took}: {metric} {_values(trial)}{first}")
            case "pruned":
                lines.append(f"{name} pruned at epoch {trial.last_step or '?'}{shown}")
            case "failed":
                lines.append(f"{name} failed: {trial.user_attrs.get('reason', 'its workers died')}")
            case "lost" | "interrupted":
                queued = f"; retried as trial {again[trial.number]}" if trial.number in again else ""
                lines.append(f"{name} {state}{queued}")
    return lines


class LiveTable:
    """Shows a sweep while it runs; a context manager around the calls of `update`.

    Args:
        study_name: name of the sweep.
        objectives: metric and direction of each.
        total: trials to finish; None if the sweep ends by the clock.
        workers: trials that this machine can run at the same time.
        console: where to show it; standard output.
    """

    def __init__(
        self,
        study_name: str,
        objectives: Objectives,
        total: int | None,
        workers: int = 1,
        console: Console | None = None,
    ) -> None:
        self.study_name, self.objectives, self.total = study_name, objectives, total
        self.workers, self.started = workers, datetime.now()
        self.console = console or Console()
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._before: dict[int, str] | None = None

    def __enter__(self) -> "LiveTable":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, trials: Sequence[FrozenTrial], now: float) -> None:
        """Show how the trials are.

        Args:
            trials: all trials of the study.
            now: seconds since the epoch.
        """
        # A trial that runs but has no settings yet is still being asked for.
        trials = [t for t in trials if outcome_of(t) != "running" or "settings" in t.user_attrs]
        clock = datetime.fromtimestamp(now)  # local, without a time zone, as the trials' own
        if self._live:
            self._live.update(self.drawn(trials, clock), refresh=True)
            return
        if self._before is None:  # what had ended before is no event
            lines = self._head(trials, clock)
            self._before = {t.number: outcome_of(t) for t in trials if t.state.is_finished()}
        else:
            lines = []
        lines += events(self._before, trials, self.objectives, clock)
        self._before = {t.number: outcome_of(t) for t in trials}
        for line in lines:
            self.console.print(f"{clock:%H:%M:%S} {line}", soft_wrap=True, markup=False, highlight=False)

    def drawn(self, trials: Sequence[FrozenTrial], now: datetime) -> Group:
        """Return the table, no higher than the terminal."""
        several = len(self.objectives) > 1
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column(" ".join(o["metric"] for o in self.objectives), justify="right", no_wrap=True)
        if not several:
            table.add_column("best", justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        running = sum(t.state is TrialState.RUNNING for t in trials)
        room = self.console.height - running - 7  # lines of the head and the frame
        for row in rows(trials, self.objectives, now, min(FINISHED, room)):
            cells: list[Any] = [
                f"{'* ' if row.is_best else ''}{row.number}",
                Text(row.state, STYLES.get(row.state, "dim")),
                row.epoch,
            ]
            cells += [row.value, *([] if several else [row.best]), row.elapsed, Text(row.params)]
            table.add_row(*cells, style="bold" if row.is_best else "")
        return Group(*map(Text, self._head(trials, now)), table)

    def _head(self, trials: Sequence[FrozenTrial], now: datetime) -> list[str]:
        elapsed = (now - self.started).total_seconds()
        return head(self.study_name, trials, self.objectives, self.total, self.workers, elapsed, now)


def _direction(objectives: Objectives) -> StudyDirection:
    return StudyDirection.MINIMIZE if objectives[0]["direction"] == "minimize" else StudyDirection.MAXIMIZE


def _values(trial: FrozenTrial) -> str:
    values: list[Any] = trial.values if trial.state is TrialState.COMPLETE else [current(trial)]
    return " ".join(map(value_text, values))


def _time(seconds: float) -> str:
    """Write a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(params: Mapping[str, Any]) -> str:
    """Write parameters by the last part of their key, and names alone.

    Example:
        >>> _short({"model.name": "nade", "nade:model.hidden": 130, "optimizer.lr": 0.00716319, "trainer.ema": 0.95})
        'nade hidden=130 lr=7.2e-3 ema=0.95'
    """
    texts = []
    for name, value in params.items():
        key = name.rpartition(":")[2].rpartition(".")[2]
        texts.append(_digits(value) if key == "name" else f"{key}={_digits(value)}")
    return " ".join(texts)


def _digits(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2g}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}".replace("e-0", "e-")
