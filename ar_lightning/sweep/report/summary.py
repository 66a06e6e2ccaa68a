"""The state of a sweep in one table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from rich.table import Table

from ar_lightning.config.values import yaml_text
from ar_lightning.sweep.report.importances import importances
from ar_lightning.sweep.report.outcomes import amount, best_first, metrics_of, ran, retries, value_text
from ar_lightning.sweep.study import outcome_of

__all__ = ["summary"]

TOP = 5  # parameters by importance
LISTED = 8  # failed or retried trials
STATES = ("complete", "pruned", "failed", "lost", "interrupted", "running")


def summary(study: Study, files: Mapping[str, Path] | None = None) -> Table:
    """Return a table of the trials, the best, the parameters that mattered, failures, and files by kind."""
    everything = study.get_trials(deepcopy=False)
    trials = ran(everything)
    table = Table(title=f"sweep {study.study_name}", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path that is cut short cannot be copied
    counts = Counter(map(outcome_of, trials))
    table.add_row("trials", ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "none")
    _add_best(table, study, trials)
    for i, metric in enumerate(metrics_of(study)):
        found = [*importances(study, i).items()][:TOP]
        of = f" for {metric}" if len(study.directions) > 1 else ""
        if len(found) > 1:
            table.add_row(f"importance{of}", "\n".join(f"{value:.2f} {name}" for name, value in found))
    again = retries(everything)
    _add_list(table, "retried", [f"trial {t.number} ({outcome_of(t)}) as trial {again[t.number]}"
                                 for t in trials if t.number in again])  # fmt: skip
    failed = (t for t in trials if outcome_of(t) == "failed")
    _add_list(table, "failed", [f"trial {t.number}: {t.user_attrs.get('reason', 'its workers died')}" for t in failed])
    files = files or {}
    plots = [path for path in files.values() if path.suffix == ".png"]
    for kind, path in files.items():
        if path not in plots:
            table.add_row(kind, str(path))
    if plots:
        table.add_row("plots", str(plots[0].parent))
    return table


def _add_best(table: Table, study: Study, trials: Sequence[FrozenTrial]) -> None:
    for i, metric in enumerate(metrics_of(study)):
        ranked = best_first(trials, study.directions[i], i)
        if not ranked:
            table.add_row("best", "no trial is complete: nothing to report yet")
            return
        best = ranked[0]
        table.add_row(f"best {metric}", f"{amount(best.values[i], metric)}, trial {best.number}")
        for own in [t for t in ranked if t.user_attrs.get("baseline")][:1]:
            table.add_row("", _against(own, best, i, study.directions[i]))
        table.add_row("", "\n".join(f"{key} = {yaml_text(value)}" for key, value in best.params.items()))
    if len(study.directions) > 1:
        front = ", ".join(str(number) for number in sorted(t.number for t in study.best_trials))
        table.add_row("Pareto front", f"trials {front}")


def _against(own: FrozenTrial, best: FrozenTrial, objective: int, direction: StudyDirection) -> str:
    """Compare the best trial with the config's own values."""
    before, after = own.values[objective], best.values[objective]
    gain = before - after if direction is StudyDirection.MINIMIZE else after - before
    if own.number == best.number or gain <= 0:
        return "the config's own values are the best"
    share = f" ({gain / abs(before):.1%})" if before else ""
    return f"better by {value_text(gain)}{share} than the config's own values: {value_text(before)}"


def _add_list(table: Table, name: str, lines: list[str]) -> None:
    if lines:
        more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        table.add_row(name, "\n".join([*lines[:LISTED], *more]))
