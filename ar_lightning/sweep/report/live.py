"""A sweep as it runs: a live table on a terminal, elsewhere a line for each event."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ar_lightning.sweep.report.outcomes import amount, best_first, current, duration, ran, retries, value_text
from ar_lightning.sweep.study import is_counted, outcome_of
from ar_lightning.tracking.console import console as make_console

__all__ = ["LiveTable", "events"]

FINISHED = 10  # rows of trials that have ended
FRAME = 7  # lines of the terminal that are not rows
STYLES = {"running": "cyan", "complete": "green", "pruned": "yellow", "failed": "red", "lost": "red"}
Objectives = Sequence[Mapping[str, str]]  # metric and direction of each


class LiveTable:
    """Shows a sweep while it runs, within its `screen`, a context manager around the calls of `update`.

    The `total` of trials to finish is None if the sweep ends by the clock.
    """

    def __init__(self, study: str, objectives: Objectives, total: int | None, console: Console | None = None) -> None:
        self.study, self.objectives, self.total = study, objectives, total
        self.console = console or make_console()
        terminal = self.console.is_terminal
        self.screen = Live(console=self.console, auto_refresh=False) if terminal else nullcontext()
        remaining = [TimeRemainingColumn(), TextColumn("remaining")] if total else []
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(12), MofNCompleteColumn(),
            TextColumn("trials, {task.fields[failed]} failed,"), TimeElapsedColumn(), TextColumn("elapsed"), *remaining,
            speed_estimate_period=float("inf"),
        )  # fmt: skip
        self._before: dict[int, str] | None = None  # what had become of each trial at the last look

    def update(self, trials: Sequence[FrozenTrial], now: float) -> None:
        """Show how all trials of the study are; `now` is in seconds since the epoch."""
        # A trial that runs but has no settings yet is still being asked for.
        trials = [t for t in trials if outcome_of(t) != "running" or "settings" in t.user_attrs]
        clock = datetime.fromtimestamp(now)  # local, without a time zone, as the trials' own
        if isinstance(self.screen, Live):
            self.screen.update(self.drawn(trials, clock), refresh=True)
            return
        lines = []
        if self._before is None:  # what had ended before is no event
            failed = sum(outcome_of(t) == "failed" for t in trials)
            counts = f"{sum(map(is_counted, trials))}{f'/{self.total}' if self.total else ''} trials"
            lines = [f"{self.study}: {counts}{f', {failed} failed' if failed else ''}", _best(trials, self.objectives)]
            self._before = {t.number: outcome_of(t) for t in trials if t.state.is_finished()}
        lines += events(self._before, trials, self.objectives, clock)
        self._before = {t.number: outcome_of(t) for t in trials}
        for line in lines:
            self.console.print(f"{clock:%H:%M:%S} {line}", soft_wrap=True, markup=False, highlight=False)

    def drawn(self, trials: Sequence[FrozenTrial], now: datetime) -> Group:
        """Return the progress, the best value and a table of the trials, no higher than the terminal.

        Trials that are running come first, then those that have ended, the last one first.
        """
        done, failed = sum(map(is_counted, trials)), sum(outcome_of(t) == "failed" for t in trials)
        if not self._progress.tasks:  # what was done before says nothing about the speed
            self._progress.add_task(self.study, total=self.total, completed=done, failed=failed)
        self._progress.update(self._progress.task_ids[0], completed=done, failed=failed)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
        metrics = " ".join(o["metric"] for o in self.objectives)
        for name in ("trial", "state", "epoch", metrics, *(["best"] if len(self.objectives) == 1 else []), "time"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        running = [t for t in ran(trials) if t.state is TrialState.RUNNING]
        ended = [t for t in ran(trials) if t.state.is_finished()]
        ended.sort(key=lambda t: (t.datetime_complete or now, t.number), reverse=True)
        room = max(min(FINISHED, self.console.height - FRAME - len(running)), 0)
        best = next(iter(best_first(trials, _direction(self.objectives))), None)
        for trial in (*running, *ended[:room]):
            table.add_row(*self._cells(trial, now, trial is best), style="bold" if trial is best else "")
        return Group(self._progress.get_renderable(), Text(_best(trials, self.objectives)), table)

    def _cells(self, trial: FrozenTrial, now: datetime, is_best: bool) -> list[Any]:
        """Return a row of the table; a star marks the best of all trials."""
        state = outcome_of(trial)
        best = min if _direction(self.objectives) is StudyDirection.MINIMIZE else max
        of_epochs = best(trial.intermediate_values.values(), default=current(trial))
        epochs, seconds = trial.last_step or trial.user_attrs.get("epochs"), duration(trial, now)
        return [
            f"{'* ' if is_best else ''}{trial.number}",
            Text(state, STYLES.get(state, "dim")),
            value_text(epochs),
            _values(trial),
            *([] if len(self.objectives) > 1 else [value_text(of_epochs)]),
            "" if seconds is None else _time(seconds),
            Text(_short(trial.params)),
        ]


def events(
    before: Mapping[int, str], trials: Sequence[FrozenTrial], objectives: Objectives, now: datetime
) -> list[str]:
    """Return what happened, a line each, oldest first; `before` has the `outcome_of` each trial at the last look."""
    metric, best, again = objectives[0]["metric"], best_first(trials, _direction(objectives)), retries(trials)
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
        seconds = duration(trial, now)
        match state:
            case "complete":
                took = "" if seconds is None else f" in {_time(seconds)}"
                first = ", the best so far" if trial is best[0] else ""
                lines.append(f"{name} complete{took}: {metric} {_values(trial)}{first}")
            case "pruned":
                lines.append(f"{name} pruned at epoch {trial.last_step or '?'}: {metric} {_values(trial)}")
            case "failed":
                lines.append(f"{name} failed: {trial.user_attrs.get('reason', 'its workers died')}")
            case "lost" | "interrupted":
                queued = f"; retried as trial {again[trial.number]}" if trial.number in again else ""
                lines.append(f"{name} {state}{queued}")
    return lines


def _best(trials: Sequence[FrozenTrial], objectives: Objectives) -> str:
    metric, ranked = objectives[0]["metric"], best_first(trials, _direction(objectives))
    if not ranked:
        return "no trial is complete yet"
    return f"best {metric}: {amount(ranked[0].values[0], metric)}, trial {ranked[0].number}"


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
        'nade hidden=130 lr=0.0072 ema=0.95'
    """
    texts = []
    for name, value in params.items():
        key, text = name.rpartition(":")[2].rpartition(".")[2], f"{value:.2g}" if isinstance(value, float) else value
        texts.append(str(text) if key == "name" else f"{key}={text}")
    return " ".join(texts)
