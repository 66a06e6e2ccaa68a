"""What is shown of a sweep while it runs: rows and events from the trials alone, then how they are drawn."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from ar_lightning.sweep.report.live import LiveTable, events, head, remaining, rows
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


def test_running_trials_come_first_then_the_last_that_ended() -> None:
    ended = [trial(values=3.0 - 0.1 * i, start=START + timedelta(seconds=i)) for i in range(12)]
    trials = numbered(running(4.0, 3.0, 3.5), *ended, running(), trial(TrialState.WAITING))
    shown = rows(trials, [BPD], NOW)
    assert [row.number for row in shown] == [0, 13, *range(12, 2, -1)]
    first = shown[0]
    assert (first.state, first.epoch, first.value, first.best, first.elapsed) == (
        "running",
        "3",
        "3.5000",
        "3.0000",
        "1:40",
    )
    assert [row.number for row in shown if row.is_best] == [12]
    assert shown[1].epoch == shown[1].value == shown[1].best == ""


def test_the_best_is_by_the_direction() -> None:
    trials = numbered(trial(values=(2.0, 10.0)), trial(values=(3.0, 20.0)))
    assert [row.number for row in rows(trials, [BPD, SPEED], NOW) if row.is_best] == [0]
    assert rows(trials, [BPD, SPEED], NOW)[0].value == "3.0000 20.000"
    trials = numbered(trial(values=10.0), trial(values=20.0), running(5.0, 7.0, 6.0))
    shown = rows(trials, [SPEED], NOW)
    assert [row.number for row in shown if row.is_best] == [1]
    assert shown[0].best == "7.0000"


def test_trials_that_never_ran_are_no_rows() -> None:
    never = [trial(TrialState.FAIL, outcome=outcome) for outcome in ("surplus", "superseded")]
    assert rows(numbered(*never, trial(TrialState.WAITING)), [BPD], NOW) == []


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
        "trial 6 started: lr=1.0e-3",
        "trial 7 started, a retry of trial 4: lr=1.0e-3",
    ]
    assert events(look(after), after, [BPD], NOW) == []


def test_what_began_and_ended_between_two_looks_is_two_events() -> None:
    lines = events({}, numbered(trial(TrialState.FAIL, outcome="failed")), [BPD], NOW)
    assert lines == ["trial 0 started", "trial 0 failed: its workers died"]


def test_remaining_time_is_an_estimate_or_unknown() -> None:
    done = [trial(values=2.0, seconds=60), trial(TrialState.PRUNED, seconds=20)]
    lost = trial(TrialState.FAIL, seconds=1000)  # counts for nothing
    assert remaining(numbered(*done, lost), 10, 2, NOW) == 40 * 8 / 2
    assert remaining(numbered(*done, running(start=NOW - timedelta(seconds=10))), 10, 1, NOW) == 40 * 8 - 10
    assert remaining(numbered(*done, running(), running()), 3, 4, NOW) == 0  # the one that is left is overdue
    assert remaining(numbered(running()), 10, 1, NOW) is None
    assert remaining(numbered(*done), None, 1, NOW) is None
    assert "remaining unknown" in head("digits", numbered(running()), [BPD], 10, 1, 3.0, NOW)[0]
    assert head("digits", numbered(*done), [BPD], 2, 1, 3700.0, NOW) == [
        "digits: 2/2 trials, 1:01:40 elapsed, done",
        "best val/bpd: 2.0000 bits/dim, trial 0",
    ]


def test_a_sweep_without_a_total_does_not_promise_an_end() -> None:
    assert head("digits", [], [BPD], None, 1, 3.0, NOW) == [
        "digits: 0 trials, 0:03 elapsed, remaining unknown",
        "no trial is complete yet",
    ]


def test_logs_get_a_line_for_each_event_and_no_news_twice() -> None:
    study, text = searched(6), StringIO()
    table = LiveTable("digits", [BPD], 8, console=Console(file=text, width=40))
    with table:
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
    with LiveTable("digits", objectives, 40, 3, console) as table:
        table.update(study.trials, NOW.timestamp())
        console.print(table.drawn(study.trials, NOW))
    drawn = text.getvalue().rpartition("digits: ")[2].splitlines()
    assert max(map(len, drawn)) <= 80
    assert len(drawn) <= 20
    assert sum("running" in line for line in drawn) == 3
    assert {"trial", "state", "val/bpd"} <= set(drawn[3].split())


def test_an_empty_study_is_shown_too() -> None:
    text = StringIO()
    with LiveTable("digits", [BPD], 8, console=Console(file=text, width=80, force_terminal=True)) as table:
        table.update(new_study().trials, NOW.timestamp())
    assert "no trial is complete yet" in text.getvalue()
