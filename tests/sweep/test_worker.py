"""Sweeps survive what kills workers, launchers and machines. Trials are stubs; storage, workers, signals are real."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ar_lightning.sweep.study import tell
from tests.support.stub_trial import CRASHES, EPOCHS, PAUSE, TAKES_ITS_WORKER_DOWN, value
from tests.support.sweeping import SPACE, Sweeping, assert_none_ran_twice_at_once, ended, until

ENDLESS = {PAUSE: "1000"}
SLOW = {PAUSE: "0.1", EPOCHS: "16"}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweeping]:
    sweeping = Sweeping(tmp_path)
    yield sweeping
    sweeping.end()


def test_a_sweep_meets_its_total_and_goes_on_to_a_larger_one(sweep: Sweeping) -> None:
    sweep.run()
    trials = sweep.trials()
    assert [t.number for t in trials if t.state == TrialState.COMPLETE] == [*range(6)]
    for trial in trials:
        assert trial.value == pytest.approx(value(trial.params["optimizer.lr"], 3))
        assert trial.intermediate_values.keys() == {1, 2, 3}
        assert trial.user_attrs["settings"]["trainer.threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
        assert trial.user_attrs["run"] == f"{trial.number:04d}"
    assert trials[0].params == {"optimizer.lr": 3e-3}, "the first is the config itself"
    assert len({t.user_attrs["worker"] for t in trials}) == 2
    assert not sweep.workers() and not sweep.children()
    sweep.run("trials=8")
    assert sweep.outcomes() == ["complete"] * 8
    sweep.run("trials=8")
    assert sweep.outcomes() == ["complete"] * 8


def test_trials_are_pruned_by_the_study(sweep: Sweeping) -> None:
    pruner = {"name": "median", "startup_trials": 2, "min_epochs": 1}
    sweep.settings = {"pruner": pruner, "trials": 12, "workers": 1}  # one: no trial ends while another is judged
    sweep.run()
    states = [t.state for t in sweep.trials()]
    assert {TrialState.COMPLETE, TrialState.PRUNED} == set(states)
    best = min((t for t in sweep.trials() if t.state == TrialState.COMPLETE), key=lambda t: t.value or 0)
    for trial in sweep.trials():
        if trial.state == TrialState.PRUNED:
            last = max(trial.intermediate_values)
            assert 1 <= last < 3
            assert trial.intermediate_values[last] > best.intermediate_values[last]


@pytest.mark.slow
def test_failures_of_trials_are_noted_and_the_sweep_goes_on(sweep: Sweeping) -> None:
    hidden = {"type": "categorical", "choices": [20, CRASHES]}
    sweep.settings = {"space": {"model.hidden": hidden, **SPACE}, "sampler": "random", "baseline": False, "trials": 8}
    sweep.run()
    failed = [t for t in sweep.trials() if t.state == TrialState.FAIL]
    assert set(sweep.outcomes()) == {"complete", "failed"} and len(sweep.trials()) == 8
    assert {t.params["model.hidden"] for t in failed} == {CRASHES}
    assert {t.user_attrs["reason"] for t in failed} == {"RuntimeError: out of memory (exit code 1)"}


@pytest.mark.slow
def test_a_sweep_in_which_everything_fails_ends(sweep: Sweeping) -> None:
    sweep.settings = {"overrides": [f"model.hidden={CRASHES}", "tracking.mode=disabled"], "trials": 100}
    output = ended(sweep.start(), code=2)
    assert "every trial failed, the last with: RuntimeError: out of memory" in output
    assert len(sweep.trials()) < 10


def test_a_short_sweep_in_which_everything_fails_is_no_success(sweep: Sweeping) -> None:
    sweep.settings = {"overrides": [f"model.hidden={CRASHES}", "tracking.mode=disabled"], "trials": 2}
    last = ended(sweep.start(), code=2).splitlines()[-1]
    assert last == "error: every trial failed, the last with: RuntimeError: out of memory (exit code 1)"


def test_a_worker_that_is_killed_loses_one_trial_which_is_run_again(sweep: Sweeping) -> None:
    launcher = sweep.start(**SLOW)
    until(lambda: sum(t["what"] == "epoch" for t in sweep.traces()) > 4)
    victim = sweep.workers()[0]
    lost = next(t for t in sweep.trials() if t.user_attrs.get("worker", "").endswith(f":{victim}"))
    child = next(t["pid"] for t in reversed(sweep.traces()) if t["run"] == lost.user_attrs["run"])
    os.kill(victim, signal.SIGKILL)
    until(lambda: child not in sweep.children())
    ended(launcher)
    outcomes = sweep.outcomes()
    assert outcomes.count("complete") == 6 and outcomes.count("lost") == 1 and len(outcomes) == 7
    (again,) = (t for t in sweep.trials() if "retry_of" in t.user_attrs)
    assert again.user_attrs["retry_of"] == [lost.number]
    assert again.params == lost.params
    assert again.user_attrs["run"] == lost.user_attrs["run"], "it goes on from the last checkpoint"
    assert again.intermediate_values.keys() == {*range(1, 17)}
    epochs = [t["value"] for t in sweep.traces() if t["run"] == lost.user_attrs["run"] and t["what"] == "epoch"]
    assert epochs == [*range(1, 17)], "no epoch is trained twice"
    assert_none_ran_twice_at_once(sweep.traces())


@pytest.mark.slow
def test_a_trial_that_kills_its_workers_is_given_up(sweep: Sweeping) -> None:
    hidden = {"type": "categorical", "choices": [20, TAKES_ITS_WORKER_DOWN]}
    sweep.settings = {"space": {"model.hidden": hidden}, "sampler": "grid", "trials": 2, "lease": 1.0}
    sweep.run()
    assert sorted(sweep.outcomes()) == ["complete", "failed", "lost", "lost"]


@pytest.mark.slow
@pytest.mark.parametrize("torn", [False, True])
def test_after_a_power_cut_the_same_command_goes_on(sweep: Sweeping, torn: bool) -> None:
    """Everything is killed at once; the journal may end in half a line."""
    launcher = sweep.start("trials=10", **SLOW)
    until(lambda: sweep.out.exists() and sum(t["what"] == "end" for t in sweep.traces()) >= 2)
    until(lambda: {"complete", "running"} <= set(sweep.outcomes()))  # the worker tells it a moment after the end
    for pid in [launcher.pid, *sweep.workers(), *sweep.children()]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not sweep.workers() and not sweep.children())
    kept = {t.number: t.value for t in sweep.trials() if t.state == TrialState.COMPLETE}
    (sweep.out / "journal.log.lock").unlink(missing_ok=True)
    if torn:
        with (sweep.out / "journal.log").open("ab") as journal:
            journal.write(b'{"op_code":4,"worker_id":"x","trial')
    output = sweep.run("trials=10", **SLOW)
    assert ("half a line" in output) == torn
    outcomes = sweep.outcomes()
    assert outcomes.count("complete") == 10 and set(outcomes) == {"complete", "lost"}
    assert kept and kept.items() <= {t.number: t.value for t in sweep.trials()}.items()
    assert_none_ran_twice_at_once(sweep.traces())


@pytest.mark.parametrize("signal_number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_sweep_loses_nothing(sweep: Sweeping, signal_number: int) -> None:
    launcher = sweep.start(**SLOW)
    until(lambda: sum(t["what"] == "epoch" for t in sweep.traces()) > 4)
    os.killpg(launcher.pid, signal_number)
    output = ended(launcher, code=130)
    assert "go on with the same command" in output
    assert not sweep.workers() and not sweep.children()
    assert set(sweep.outcomes()) <= {"complete", "interrupted", "waiting"} and "waiting" in sweep.outcomes()
    sweep.run(**SLOW)
    outcomes = sweep.outcomes()
    assert outcomes.count("complete") == 6 and set(outcomes) == {"complete", "interrupted"}
    assert_none_ran_twice_at_once(sweep.traces())


def test_workers_and_trials_do_not_outlive_the_launcher(sweep: Sweeping) -> None:
    launcher = sweep.start(**SLOW)
    until(lambda: len(sweep.children()) == 2)
    launcher.kill()
    until(lambda: not sweep.workers() and not sweep.children())


def test_a_trial_that_is_taken_away_ends_between_two_reports(sweep: Sweeping) -> None:
    """Another worker took its worker for dead: the next sign of life ends it, long before its next report."""
    sweep.start("workers=1", **ENDLESS)
    until(lambda: any(t["what"] == "start" for t in sweep.traces()))
    (child,) = {t["pid"] for t in sweep.traces()}
    tell(sweep.study(), 0, TrialState.FAIL)
    until(lambda: child not in sweep.children())


def test_trials_end_with_their_worker_between_two_reports(sweep: Sweeping) -> None:
    sweep.start("workers=1", **ENDLESS)
    until(lambda: any(t["what"] == "start" for t in sweep.traces()))
    (child,) = {t["pid"] for t in sweep.traces()}
    os.kill(sweep.workers()[0], signal.SIGKILL)
    until(lambda: child not in sweep.children())


@pytest.mark.slow
def test_two_launchers_share_a_study(sweep: Sweeping) -> None:
    launchers = [sweep.start("trials=16") for _ in range(2)]
    for launcher in launchers:
        ended(launcher)
    outcomes = sweep.outcomes()
    assert outcomes.count("complete") == 16 and len(outcomes) == 16
    assert len({t.user_attrs["worker"] for t in sweep.trials()}) >= 3


@pytest.mark.slow
def test_hours_end_a_sweep(sweep: Sweeping) -> None:
    sweep.settings = {"trials": None, "hours": 3 / 3600}
    started = time.monotonic()
    sweep.run()
    assert time.monotonic() - started < 120  # whatever the processor
    assert set(sweep.outcomes()) <= {"complete"}  # how many there are is up to the processor


@pytest.mark.slow
def test_a_frozen_worker_does_not_run_a_trial_that_another_has_taken(sweep: Sweeping) -> None:
    """A machine that stands still for a while, storage and all, finds its trial taken when it wakes up."""
    launcher = sweep.start("trials=4", **SLOW)
    until(lambda: sum(t["what"] == "epoch" for t in sweep.traces()) > 2)
    victim = sweep.workers()[0]
    mine = next(t for t in sweep.trials() if t.user_attrs.get("worker", "").endswith(f":{victim}"))
    child = next(t["pid"] for t in reversed(sweep.traces()) if t["run"] == mine.user_attrs["run"])
    for pid in (victim, child):
        os.kill(pid, signal.SIGSTOP)
    until(lambda: sweep.outcomes()[mine.number] == "lost")
    for pid in (victim, child):
        os.kill(pid, signal.SIGCONT)
    ended(launcher)
    outcomes = sweep.outcomes()
    assert outcomes.count("complete") == 4 and outcomes.count("lost") == 1
    assert child not in sweep.children()
