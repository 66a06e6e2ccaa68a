"""The trials of a sweep in Optuna's storage, and which worker may run which.

Workers on several machines share a study and nothing else. Whatever kills any of them at any moment, no trial is lost
and none runs twice at the same time, because of three rules:

- A running trial has a `lease` that its worker renews. If it stays the same for too long, the other workers take the
  worker for dead (`dead_workers.py`); a living worker that cannot renew its lease has ended the trial by then.
- A trial that is to run again is queued before it is marked as failed, so that no worker can die in between.
- Several workers may queue the same trial, as "the retry of trial 7", its `claim`. A worker that takes a trial from
  the queue checks that it is the first of its claim.
"""

import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ar_lightning.config.overlay import flat
from ar_lightning.config.registry import make
from ar_lightning.core.errors import UserError
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.space import grid, own_values
from ar_lightning.sweep.storage import shown

__all__ = [
    "MAX_LOST",
    "NEVER_RAN",
    "baseline_of",
    "check_study",
    "claim",
    "is_counted",
    "is_first_of_its_claim",
    "join",
    "only_failures",
    "outcome_of",
    "quiet",
    "tell",
]

MAX_LOST = 2  # times that a trial is tried again after its worker died: it may be what kills it
ATTRIBUTES: dict[str, Any] = {  # of a trial: what workers write
    "settings": dict, "metrics": dict, "retry_of": list, "epochs": int, "seconds": (int, float), "lost": int,
    "run": str, "reason": str, "outcome": str,
}  # fmt: skip
NEVER_RAN = ("surplus", "superseded")
LIVE = (TrialState.RUNNING, TrialState.WAITING)
PREPARED_WITHIN = 10.0  # seconds that another process gets to fill the queue of a new study


def join(sweep: Sweep, storage: BaseStorage) -> Study:
    """Open the study, or create it and queue its first trials; refuse one with another space, config or objective."""
    quiet()
    directions = [StudyDirection[objective["direction"].upper()] for objective in sweep.objectives]
    known: dict[str, Any] = {"study_name": sweep.study, "storage": storage}
    try:
        study = optuna.create_study(**known, directions=directions)
        study.set_user_attr("definition", sweep.definition)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(**known)
        deadline = time.monotonic() + PREPARED_WITHIN
        while "prepared" not in study.user_attrs and time.monotonic() < deadline:
            time.sleep(0.1)
        if "definition" not in study.user_attrs:  # its creator died at once
            study.set_user_attr("definition", sweep.definition)
    check_study(sweep, study)
    study.sampler = make("sampler", sweep.sampler)
    study.pruner = make("pruner", sweep.pruner, sweep.max_epochs)
    if sweep.sampler["name"] == "grid" or "prepared" not in study.user_attrs:
        _prepare(sweep, study)
        study.set_user_attr("prepared", True)
    return study


def quiet() -> None:
    """Keep Optuna from telling what is no news to a user."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message=".*already reported.*")  # by the attempt before


def check_study(sweep: Sweep, study: Study) -> None:
    """Refuse a study whose trials cannot be compared with those of this sweep, or whose records were changed."""
    try:
        definition = study.user_attrs["definition"]
        str(definition["config"])
        before, now = _by_part(definition), _by_part(sweep.definition)
        keys = {part: [*before[part], *now[part]] for part in now}
        other = {part: sorted({k for k in keys[part] if before[part].get(k) != now[part].get(k)}) for part in now}
    except (KeyError, TypeError, AttributeError):
        raise _damaged(sweep, "the definition of the study is not whole") from None
    for part, names in other.items():
        if names:
            raise UserError(
                f"study={sweep.study} was begun with another {part} of {', '.join(names)}; give this sweep a name of "
                f"its own, such as study={sweep.study}-2"
            )
    for trial in study.get_trials(deepcopy=False):
        kept = trial.user_attrs
        wrong = [name for name, kind in ATTRIBUTES.items() if name in kept and not isinstance(kept[name], kind)]
        values = [*trial.intermediate_values.values()]
        if trial.state is TrialState.COMPLETE:
            wrong += [] if "settings" in kept else ["settings"]
            values += trial.values or [None]
        if not all(isinstance(value, (int, float)) for value in values):
            wrong.append("value")
        if wrong:
            raise _damaged(sweep, f"trial {trial.number} has no {wrong[0]} that a sweep writes")


def _damaged(sweep: Sweep, problem: str) -> UserError:
    fix = "it was changed or damaged; give back a copy of it, or name another study"
    return UserError(problem, f"study={sweep.study} in {shown(sweep.storage_url)}", fix)


def _by_part(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings that must agree, by part and key. Places of data, tracking and samples may differ."""
    differ = ("tracking.", "samples.", "data.data_dir")
    return {
        "space": definition["space"],
        "setting": {key: value for key, value in definition["base"].items() if not key.startswith(differ)},
        "objective": {o["metric"]: o["direction"] for o in definition["objectives"]},
    }


def _prepare(sweep: Sweep, study: Study) -> None:
    """Queue the points of a grid, or the config's own values, unless they are in the study."""
    trials = study.get_trials(deepcopy=False)
    there = {t.user_attrs.get("claim") for t in trials if outcome_of(t) not in NEVER_RAN}
    if sweep.sampler["name"] == "grid":
        for i, params in enumerate(grid(sweep.space)):
            if f"grid-{i}" not in there:
                study.enqueue_trial(params, user_attrs={"claim": f"grid-{i}"})
    elif sweep.baseline and "baseline" not in there:
        with suppress(ValueError):  # the config's own values are not in the space
            study.enqueue_trial(baseline_of(sweep), user_attrs={"claim": "baseline", "baseline": True})


def baseline_of(sweep: Sweep) -> dict[str, Any]:
    """Return the values of the config itself as a point of the space, or raise `ValueError` if it is outside."""
    return own_values(sweep.space, flat("config", sweep.config_of({})).get)


def outcome_of(trial: FrozenTrial) -> str:
    """Return the state of a trial: waiting, running, complete, pruned, or how it failed.

    A trial is `failed` by itself, `lost` with its worker, or `interrupted`; `surplus` and `superseded` ones never ran.
    """
    if trial.state != TrialState.FAIL:
        return trial.state.name.lower()
    given_up = trial.user_attrs.get("lost", 0) >= MAX_LOST
    return trial.user_attrs.get("outcome", "failed" if given_up else "lost")


def is_counted(trial: FrozenTrial) -> bool:
    """Return whether a trial counts towards the total."""
    return outcome_of(trial) in ("complete", "pruned", "failed")


def only_failures(trials: Iterable[FrozenTrial]) -> str | None:
    """Return why the last of the trials that count failed, if all of them did; None if there are none or others."""
    counted = [t for t in trials if is_counted(t)]
    if not counted or any(t.state != TrialState.FAIL for t in counted):
        return None
    return str(counted[-1].user_attrs.get("reason", "its workers died"))


def claim(study: Study, total: int | None) -> Trial | None:
    """Return a trial to run: the first in the queue, or a new one; None if other workers were faster.

    `total` is how many trials to finish; None for no limit.
    """
    trial = study.ask()
    dismissal = _dismissal(study, trial.number, total)
    if dismissal is None:
        return trial
    trial.set_user_attr("outcome", dismissal)
    tell(study, trial.number, TrialState.FAIL)
    return None


def _dismissal(study: Study, number: int, total: int | None) -> str | None:
    """Return why a trial that was just taken must not run; None if it may."""
    trials = study.get_trials(deepcopy=False)
    me = trials[number]
    if not is_first_of_its_claim(me, trials):
        return "superseded"
    if "retry_of" in me.user_attrs:
        parent = me.user_attrs["retry_of"][-1]
        tell(study, parent, TrialState.FAIL)  # whoever queued the retry may have died before it could
        if study.get_trials(deepcopy=False)[parent].state != TrialState.FAIL:  # it had finished after all
            return "superseded"
    ahead = sum(is_counted(t) or (t.state in LIVE and t.number < number) for t in trials)
    return "surplus" if total is not None and ahead >= total else None


def is_first_of_its_claim(me: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
    """Return whether this trial is the first that was queued for its reason."""
    mine = me.user_attrs.get("claim")
    same = (t for t in trials if mine is not None and t.user_attrs.get("claim") == mine and t.number < me.number)
    return not any(outcome_of(t) not in NEVER_RAN for t in same)


def tell(study: Study, number: int, state: TrialState, values: list[float] | None = None) -> None:
    """End a trial, unless another process has ended it before."""
    with suppress(ValueError, RuntimeError):
        study.tell(number, values, state)
