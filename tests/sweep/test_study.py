"""Who may run which trial: nothing is lost and nothing runs twice, whoever dies when."""

import random
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import Trial, TrialState

from ar_lightning.core.errors import UserError
from ar_lightning.sweep import dead_workers
from ar_lightning.sweep import study as studies
from ar_lightning.sweep.dead_workers import Watch, queue_again, reap
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.storage import open_storage
from ar_lightning.sweep.study import MAX_LOST, claim, is_counted, join, only_failures, outcome_of, tell

LR = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}
OBJECTIVE = [{"metric": "val/bpd", "direction": "minimize"}]


def sweep(folder: Path, **changes: Any) -> Sweep:
    arguments: dict[str, Any] = {
        "config": "nade.yaml", "base": {"model.name": "nade"}, "space": LR, "objectives": OBJECTIVE,
        "sampler": {"name": "random", "seed": 0}, "pruner": {"name": "none"}, "study": "s", "trials": 5,
        "sweep_dir": str(folder), "baseline": False, **changes,
    }  # fmt: skip
    return Sweep(**arguments)


def opened(folder: Path, **changes: Any) -> Study:
    return join(sweep(folder, **changes), open_storage("journal", folder))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return opened(tmp_path)


def ask(study: Study, total: int | None = 5) -> Trial:
    """Claim a trial and sample its parameter."""
    trial = claim(study, total)
    assert trial is not None
    trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
    return trial


def frozen(study: Study, number: int) -> Any:
    return study.get_trials(deepcopy=False)[number]


def outcomes(study: Study) -> list[str]:
    return [outcome_of(t) for t in study.get_trials(deepcopy=False)]


def test_no_more_trials_than_wanted(study: Study) -> None:
    for _ in range(5):
        ask(study)
    assert claim(study, 5) is None
    assert outcomes(study) == ["running"] * 5 + ["surplus"]
    assert claim(study, None) is not None


def test_failures_of_their_own_count_and_others_do_not(study: Study) -> None:
    for outcome in ("failed", "interrupted", "surplus", "superseded", None):
        trial = ask(study, None)
        if outcome:
            trial.set_user_attr("outcome", outcome)
        tell(study, trial.number, TrialState.FAIL)
    assert outcomes(study) == ["failed", "interrupted", "surplus", "superseded", "lost"]
    assert [is_counted(t) for t in study.trials] == [True, False, False, False, False]


def test_a_study_of_failures_alone_says_why_the_last_failed(study: Study) -> None:
    assert only_failures(study.trials) is None
    for reason in ("RuntimeError: out of memory", "no such file"):
        trial = ask(study)
        trial.set_user_attr("outcome", "failed")
        trial.set_user_attr("reason", reason)
        tell(study, trial.number, TrialState.FAIL)
    assert only_failures(study.trials) == "no such file"
    tell(study, ask(study).number, TrialState.PRUNED)
    assert only_failures(study.trials) is None


def test_a_retry_has_the_parameters_and_the_run_of_the_first_attempt(study: Study) -> None:
    trial = ask(study)
    trial.set_user_attr("run", "0000")
    queue_again(study, frozen(study, 0), lost=True)
    again = ask(study)
    assert outcomes(study) == ["lost", "running"]
    assert again.params == trial.params
    assert (again.user_attrs["retry_of"], again.user_attrs["run"]) == ([0], "0000")
    queue_again(study, frozen(study, 1), lost=False)
    third = ask(study)
    assert (third.user_attrs["retry_of"], third.user_attrs["lost"]) == ([0, 1], 1)


def test_a_trial_that_died_before_it_was_sampled_keeps_what_was_queued(study: Study) -> None:
    study.enqueue_trial({"optimizer.lr": 0.01})
    claim(study, 5)
    queue_again(study, frozen(study, 0), lost=True)
    assert ask(study).params == {"optimizer.lr": 0.01}


def test_a_trial_that_takes_worker_after_worker_down_is_given_up(study: Study) -> None:
    for i in range(MAX_LOST + 1):
        ask(study)
        queue_again(study, frozen(study, i), lost=True)
    assert outcomes(study) == ["lost"] * MAX_LOST + ["failed"]
    assert not study.get_trials(states=(TrialState.WAITING,))


def test_interruptions_are_no_reason_to_give_up(study: Study) -> None:
    for i in range(10):
        trial = ask(study)
        trial.set_user_attr("outcome", "interrupted")
        queue_again(study, frozen(study, i), lost=False)
    assert outcomes(study) == ["interrupted"] * 10 + ["waiting"]


def test_of_several_retries_of_a_trial_one_runs(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers may find it dead at the same time, or one may die between queueing it and ending it."""
    ask(study)
    dead = frozen(study, 0)
    with monkeypatch.context() as patch:  # none of the three sees what the others have queued
        patch.setattr(study, "get_trials", lambda **_: [])
        for _ in range(3):
            queue_again(study, dead, lost=True)
    assert [claim(study, 5) is not None for _ in range(3)] == [True, False, False]
    assert outcomes(study) == ["lost", "running", "superseded", "superseded"]


def test_a_retry_that_was_queued_before_its_trial_had_ended_ends_it(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(study)
    with monkeypatch.context() as patch:
        patch.setattr(dead_workers, "tell", lambda *_: None)  # the reaper dies here
        queue_again(study, frozen(study, 0), lost=True)
    assert outcomes(study) == ["running", "waiting"]
    ask(study)
    assert outcomes(study) == ["lost", "running"]


def test_a_trial_that_had_finished_after_all_is_not_run_again(study: Study) -> None:
    ask(study)
    queued = frozen(study, 0)
    tell(study, 0, TrialState.COMPLETE, [1.0])
    queue_again(study, queued, lost=True)
    assert claim(study, 5) is None
    assert outcomes(study) == ["complete", "superseded"]


def test_a_retry_is_within_the_total(study: Study) -> None:
    """It takes the place of the trial that was lost, also when all the other places are taken."""
    for _ in range(5):
        ask(study)
    queue_again(study, frozen(study, 2), lost=True)
    assert claim(study, 5) is not None
    assert claim(study, 5) is None
    assert outcomes(study).count("running") == 5


def test_silence_is_measured_by_the_own_clock(monkeypatch: pytest.MonkeyPatch, study: Study) -> None:
    now = [100.0]
    monkeypatch.setattr(random, "uniform", lambda *_: 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    trial = ask(study)
    watch = Watch(lease=10)

    def after(seconds: float) -> list[int]:
        now[0] += seconds
        return [t.number for t in watch.silent([frozen(study, trial.number)])]

    trial.set_user_attr("lease", 1.0)  # a clock that is years behind
    assert after(1) == []
    assert [after(2) for _ in range(4)] == [[]] * 4
    trial.set_user_attr("lease", 2.0)
    assert [after(2) for _ in range(5)] == [[]] * 5
    assert after(2) == [0]


def test_nobody_is_dead_because_the_storage_was_away(monkeypatch: pytest.MonkeyPatch, study: Study) -> None:
    now = [100.0]
    monkeypatch.setattr(random, "uniform", lambda *_: 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    ask(study)
    watch = Watch(lease=10)
    watch.silent([frozen(study, 0)])
    now[0] += 1000
    assert watch.silent([frozen(study, 0)]) == []


def test_reaping(monkeypatch: pytest.MonkeyPatch, study: Study) -> None:
    now = [0.0]
    monkeypatch.setattr(random, "uniform", lambda *_: 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    living, _ = ask(study), ask(study)
    watch, dead = Watch(lease=4), []
    for _ in range(6):
        living.set_user_attr("lease", now[0])
        dead += reap(study, watch)
        now[0] += 1
    assert [t.number for t in dead] == [1]
    assert outcomes(study) == ["running", "lost", "waiting"]


def test_a_grid_is_queued_once(tmp_path: Path) -> None:
    space = {"model.hidden": {"type": "int", "low": 1, "high": 3}, "seed": {"type": "categorical", "choices": [0, 1]}}
    of_grid = {"space": space, "sampler": {"name": "grid"}, "trials": 6}
    for _ in range(2):
        study = opened(tmp_path, **of_grid)
    points = [t.system_attrs["fixed_params"] for t in study.trials]
    assert len(points) == 6 == len({tuple(p.items()) for p in points})
    claim(study, 6)
    claim(study, 0)  # surplus
    assert len(opened(tmp_path, **of_grid).get_trials(states=(TrialState.WAITING,))) == 5


def test_the_baseline_is_the_first_trial(tmp_path: Path) -> None:
    study = opened(tmp_path, baseline=True)
    trial = ask(study)
    assert trial.params == {"optimizer.lr": 1e-3}
    assert trial.user_attrs["baseline"]
    assert len(opened(tmp_path, baseline=True).trials) == 1
    outside = {"optimizer.lr": {**LR["optimizer.lr"], "low": 1e-2}}
    assert not opened(tmp_path, study="t", baseline=True, space=outside).trials


def test_a_study_whose_creator_died_at_once_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "PREPARED_WITHIN", 0.2)
    optuna.create_study(study_name="s", storage=open_storage("journal", tmp_path))
    study = opened(tmp_path, baseline=True)
    assert len(study.trials) == 1
    assert study.user_attrs["definition"]["space"] == LR


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"space": {"optimizer.lr": {**LR["optimizer.lr"], "high": 1.0}}}, "another space of optimizer.lr"),
        ({"space": {**LR, "seed": {"type": "categorical", "choices": [1]}}}, "another space of seed"),
        ({"base": {"model.name": "nade", "model.hidden": 3}}, "another setting of model.hidden"),
        ({"objectives": [{"metric": "val/nll", "direction": "minimize"}]}, "another objective of val/bpd, val/nll"),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(tmp_path: Path, changes: dict[str, Any], answer: str) -> None:
    opened(tmp_path)
    with pytest.raises(UserError, match=f"study=s was begun with {answer}.*study=s-2"):
        opened(tmp_path, **changes)


def test_what_changes_no_likelihood_may_change(tmp_path: Path) -> None:
    opened(tmp_path)
    opened(tmp_path, trials=9, workers=3, base={"model.name": "nade", "tracking.mode": "disabled", "samples.n": 4})
