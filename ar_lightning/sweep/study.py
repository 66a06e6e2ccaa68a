"""The trials of a sweep in Optuna's storage: who may run what, and what becomes of trials whose worker is gone.

Several workers, on several machines, share a study and nothing else. Whatever kills any of them at any moment, no
trial is lost and none runs twice at the same time, because of three rules:

- A trial that is running shows a sign of life, its `lease`. One that stays silent for as long as the lease lasts is
  taken for dead by whoever looks; its worker, should it live, has stopped by then because it could not renew it.
- A trial that is to run again is queued before it is told to have failed, so that nobody can die in between.
- Whoever takes a trial from the queue makes sure that it is the first of its `claim` ("the retry of trial 7"):
  several may have queued it.
"""

import random
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from ar_lightning.config.registry import find
from ar_lightning.core.errors import UserError
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.space import grid, own_values

__all__ = [
    "MAX_LOST",
    "NEVER_RAN",
    "Watch",
    "baseline_of",
    "claim",
    "is_counted",
    "is_first_of_its_claim",
    "join",
    "outcome_of",
    "queue_again",
    "reap",
    "tell",
]

MAX_LOST = 2  # times that a trial is tried again after its worker died: it may be what kills it
NEVER_RAN = ("surplus", "superseded")
INHERITED = ("baseline", "run")  # attributes that a retry has from the trial before
LIVE = (TrialState.RUNNING, TrialState.WAITING)
PREPARED_WITHIN = 10.0  # seconds that another process gets to fill the queue of a new study


def join(sweep: Sweep, storage: BaseStorage) -> Study:
    """Return the study, created and filled with what comes first unless that has been done.

    Raises:
        UserError: there is a study of this name with another space, config or objective.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message=".*already reported.*")  # by the attempt before
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
    _same_definition(sweep, study)
    study.sampler = find("sampler", sweep.sampler["name"])(**_arguments(sweep.sampler))
    study.pruner = find("pruner", sweep.pruner["name"])(sweep.max_epochs, **_arguments(sweep.pruner))
    if sweep.sampler["name"] == "grid" or "prepared" not in study.user_attrs:
        _prepare(sweep, study)
        study.set_user_attr("prepared", True)
    return study


def _arguments(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}


def _same_definition(sweep: Sweep, study: Study) -> None:
    """Refuse to mix trials that cannot be compared."""
    before, now = (_by_part(definition) for definition in (study.user_attrs["definition"], sweep.definition))
    for part in before:
        if keys := sorted(k for k in before[part] | now[part] if before[part].get(k) != now[part].get(k)):
            raise UserError(
                f"study={sweep.study} was begun with another {part} of {', '.join(keys)}; give this sweep a name of "
                f"its own, such as study={sweep.study}-2"
            )


def _by_part(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what must be the same, by key; where data are, and what is shown, may differ."""
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
    """Return the point of the space at which the config itself stands.

    Raises:
        ValueError: it lies outside; the message names the key.
    """
    config = sweep.config_of({})

    def own(key: str) -> Any:
        section, _, name = key.rpartition(".")
        return (config[section] if section else config).get(name)

    return own_values(sweep.space, own)


def outcome_of(trial: FrozenTrial) -> str:
    """Return what became of a trial: waiting, running, complete, pruned, or how it failed.

    That is `failed` by itself, `lost` with its worker, `interrupted`, or without having run, `surplus` or `superseded`.
    """
    if trial.state != TrialState.FAIL:
        return trial.state.name.lower()
    given_up = trial.user_attrs.get("lost", 0) >= MAX_LOST
    return trial.user_attrs.get("outcome", "failed" if given_up else "lost")


def is_counted(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards the total."""
    return outcome_of(trial) in ("complete", "pruned", "failed")


def claim(study: Study, total: int | None) -> Trial | None:
    """Return a trial to run: the first that waits, else a new one; None if others have been faster.

    Args:
        study: the study.
        total: trials to finish; None if there is no such number.
    """
    trial = study.ask()
    dismissal = _dismissal(study, trial.number, total)
    if dismissal is None:
        return trial
    trial.set_user_attr("outcome", dismissal)
    tell(study, trial.number, TrialState.FAIL)
    return None


def _dismissal(study: Study, number: int, total: int | None) -> str | None:
    """Return why a trial that was just taken is not to run, or None if it is."""
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
    """Whether no trial before this one was queued for the same reason."""
    mine = me.user_attrs.get("claim")
    same = (t for t in trials if mine is not None and t.user_attrs.get("claim") == mine and t.number < me.number)
    return not any(outcome_of(t) not in NEVER_RAN for t in same)


def tell(study: Study, number: int, state: TrialState, values: list[float] | None = None) -> bool:
    """End a trial; return whether it was this call that did."""
    try:
        study.tell(number, values, state)
    except (ValueError, RuntimeError):  # another process has ended it
        return False
    return True


def queue_again(study: Study, trial: FrozenTrial, lost: bool) -> None:
    """Let a trial that was cut short run again with the same parameters, then end it.

    Args:
        study: the study.
        trial: it is running, as far as the study knows.
        lost: its worker died; one that takes down worker after worker is given up.
    """
    attributes = trial.user_attrs
    times, name = attributes.get("lost", 0) + lost, f"retry-{trial.number}"
    # Several workers may see it dead at the same time. This only spares a queue of needless retries: `claim` decides.
    queued = any(t.user_attrs.get("claim") == name for t in study.get_trials(deepcopy=False))
    if times <= MAX_LOST and not queued:
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        kept = {key: attributes[key] for key in INHERITED if key in attributes}
        again = {"claim": name, "retry_of": [*attributes.get("retry_of", []), trial.number]}
        study.enqueue_trial(params, user_attrs={**kept, **again, "lost": times})
    tell(study, trial.number, TrialState.FAIL)


class Watch:
    """How long signs of life have not changed, by this process's own clock: clocks of machines differ.

    Only time during which the study could be looked at counts, so that nobody is taken for dead because the storage
    was away.

    Args:
        lease: seconds of silence that mean death.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease * random.uniform(1, 1.2)  # so that not all workers see a death at the same moment
        self._looked = time.monotonic()
        self._silence: dict[int, tuple[Any, float]] = {}

    def silent(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return those of the running trials that have been silent for too long."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, self.lease / 4), now
        signs = {t.number: t.user_attrs.get("lease") for t in trials}
        before, self._silence = self._silence, {}
        for number, sign in signs.items():
            last, silence = before.get(number, (None, 0.0))
            self._silence[number] = (sign, silence + passed if number in before and sign == last else 0.0)
        return [t for t in trials if self._silence[t.number][1] >= self.lease]


def reap(study: Study, watch: Watch) -> list[FrozenTrial]:
    """Queue the trials again whose workers are dead; return them."""
    dead = watch.silent(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    for trial in dead:
        queue_again(study, trial, lost=True)
    return dead
