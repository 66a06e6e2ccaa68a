"""What is shown of a sweep while it runs: a table on a terminal, a line for each event in a log."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from ar_lightning.sweep.report.live import LiveTable, events
from ar_lightning.sweep.study import outcome_of
from tests.support.studies import BPD, BRANCHES, PLAIN, SPEED, START, new_study, searched, trial

NOW = START + timedelta(seconds=100)


def numbered(*trials: FrozenTrial) -> list[FrozenTrial]:
    for number, made in enumerate(trials):
        made.number = number
    return [*trials]


def look(trials: list[FrozenTrial]) -> dict[int, str]:
    return {t.number: outcome_of(t) for t in trials}


def running(*curve: float, start: datetime = START, **attrs: object) -> FrozenTrial:
    return trial(TrialState.RUNNING, curve=curve, start=start, **attrs)


def drawn(
    trials: list[FrozenTrial], objectives: tuple[dict[str, str], ...] = (BPD,), total: int | None = 20
) -> tuple[list[str], list[list[str]]]:
    """Return the two lines above the table, and the words of its rows."""
    text = StringIO()
    console = Console(file=text, width=120, height=40, force_terminal=True, color_system=None, legacy_windows=False)
    console.print(LiveTable("digits", objectives, total, console).drawn(trials, NOW))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return lines[:2], [line.split() for line in lines[5:] if line]


def test_running_trials_come_first_then_the_last_that_ended() -> None:
    ended = [trial(values=3.0 - 0.1 * i, start=START + timedelta(seconds=i)) for i in range(12)]
    trials = numbered(running(4.0, 3.0, 3.5), *ended, running(), trial(TrialState.WAITING))
    head, rows = drawn(trials)
    assert "12/20 trials, 0 failed" in head[0] and "-:--:-- remaining" in head[0]
    assert head[1] == "best val/bpd: 1.9000 bits/dim, trial 12"
    assert rows[0] == ["0", "running", "3", "3.5000", "3.0000", "1:40"]
    assert rows[1][:2] == ["13", "running"]
    assert rows[2][:3] == ["*", "12", "complete"], "a star marks the best"
    assert [row[0] for row in rows[3:]] == [str(number) for number in range(11, 2, -1)]


def test_the_best_is_by_the_direction() -> None:
    _, rows = drawn(numbered(trial(values=(2.0, 10.0)), trial(values=(3.0, 20.0))), (BPD, SPEED))
    assert [row[:2] for row in rows] == [["1", "complete"], ["*", "0"]]
    assert rows[0][3:5] == ["3.0000", "20.000"]
    _, rows = drawn(numbered(trial(values=10.0), trial(values=20.0), running(5.0, 7.0, 6.0)), (SPEED,))
    assert [row[0] for row in rows] == ["2", "*", "0"]
    assert rows[0][4] == "7.0000"


def test_trials_that_never_ran_are_no_rows() -> None:
    never = [trial(TrialState.FAIL, outcome=outcome) for outcome in ("surplus", "superseded")]
    assert drawn(numbered(*never, trial(TrialState.WAITING)))[1] == []


def test_a_sweep_without_a_total_does_not_promise_an_end() -> None:
    head, _ = drawn(numbered(trial(values=2.0), trial(values=2.5)), total=None)
    assert "2/? trials" in head[0] and "remaining" not in head[0]


def test_every_change_is_one_event() -> None:
    params = {"params": {"optimizer.lr": 0.001}, "distributions": searched(1).trials[0].distributions}
    params["distributions"] = {"optimizer.lr": params["distributions"]["optimizer.lr"]}
    before = numbered(*(running(**params) for _ in range(6)))
    after = numbered(
        trial(values=2.5, seconds=75),
        trial(values=2.25, seconds=75),
        trial(TrialState.PRUNED, curve=(4.0, 3.5)),
        trial(TrialState.FAIL, outcome="failed", reason="RuntimeError: CUDA out of memory"),
        trial(TrialState.FAIL),
        running(**params),
        running(**params),
        running(**params, retry_of=[4]),
        trial(TrialState.FAIL, outcome="surplus"),
        trial(TrialState.WAITING),
    )
    assert events(look(before), after, [BPD], NOW) == [
        "trial 0 complete in 1:15: val/bpd 2.5000",
        "trial 1 complete in 1:15: val/bpd 2.2500, the best so far",
        "trial 2 pruned at epoch 2: val/bpd 3.5000",
        "trial 3 failed: RuntimeError: CUDA out of memory",
        "trial 4 lost; retried as trial 7",
        "trial 6 started: lr=0.001",
        "trial 7 started, a retry of trial 4: lr=0.001",
    ]
    assert events(look(after), after, [BPD], NOW) == []


def test_what_began_and_ended_between_two_looks_is_two_events() -> None:
    lines = events({}, numbered(trial(TrialState.FAIL, outcome="failed")), [BPD], NOW)
    assert lines == ["trial 0 started", "trial 0 failed: its workers died"]


def test_logs_get_a_line_for_each_event_and_no_news_twice() -> None:
    study, text = searched(6), StringIO()
    table = LiveTable("digits", [BPD], 8, Console(file=text, width=40))
    with table.screen:
        table.update(study.trials, NOW.timestamp())
        asked: dict[str, Any] = {"params": study.trials[0].params, "distributions": study.trials[0].distributions}
        study.add_trial(running(**asked))
        table.update(study.trials, NOW.timestamp())  # it is still being asked for: not all its parameters are there
        study.add_trial(running(**asked, settings={}))
        table.update(study.trials, NOW.timestamp())
        table.update(study.trials, NOW.timestamp())
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert "digits: 6/8 trials" in lines[0]
    assert "best val/bpd: " in lines[1]
    assert lines[2].startswith(f"{NOW:%H:%M:%S} trial 7 started: lr=")
    assert "\x1b" not in text.getvalue()


@pytest.mark.parametrize("objectives", [(BPD,), (BPD, SPEED)])
def test_the_table_fits_a_terminal_of_80_columns(objectives: tuple[dict[str, str], ...]) -> None:
    study = searched(30, PLAIN if len(objectives) > 1 else BRANCHES, objectives)
    for _ in range(3):
        study.add_trial(running(1.0, 2.0, settings={}))
    text = StringIO()
    console = Console(file=text, width=80, height=20, force_terminal=True, color_system=None, legacy_windows=False)
    table = LiveTable("digits", objectives, 40, console)
    with table.screen:
        table.update(study.trials, NOW.timestamp())
        console.print(table.drawn(study.trials, NOW))
    shown = text.getvalue().rpartition("digits ")[2].splitlines()
    assert max(map(len, shown)) <= 80
    assert len(shown) <= 20
    assert sum("running" in line for line in shown) == 3
    assert {"trial", "state", "val/bpd"} <= set(shown[3].split())


def test_an_empty_study_is_shown_too() -> None:
    text = StringIO()
    table = LiveTable("digits", [BPD], 8, Console(file=text, width=80, force_terminal=True))
    with table.screen:
        table.update(new_study().trials, NOW.timestamp())
    assert "no trial is complete yet" in text.getvalue()
