"""How a sweep decides that a worker is dead, and what becomes of its trial.

A worker renews the `lease` of its trial, a time stamp in the study, every fifth of `lease` seconds (`worker.py`). Every
worker watches the leases of the others: one that has not changed for `lease` seconds is a dead worker's, and its trial
is queued again, up to `MAX_LOST` times. A worker that lives but cannot renew its lease ends its trial after half of it.
"""

import random
import time
from collections.abc import Iterable
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.sweep.study import MAX_LOST, tell

__all__ = ["Watch", "queue_again", "reap"]

INHERITED = ("baseline", "run")  # attributes that a retry has from the trial before


def queue_again(study: Study, trial: FrozenTrial, lost: bool) -> None:
    """Queue a trial that was cut short with the same parameters, then end it.

    `lost` says that its worker died: after `MAX_LOST` dead workers it is given up.
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
    """Measures how long each running trial has been silent, by this process's own clock: clocks of machines differ.

    Only time between two looks at the study counts, a quarter of the lease at most, so that no worker is taken for dead
    because the storage was away.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease * random.uniform(1, 1.2)  # so that not all workers see a death at the same moment
        self._looked = time.monotonic()
        self._silence: dict[int, tuple[Any, float]] = {}

    def silent(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return the running trials that have been silent for as long as the lease."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, self.lease / 4), now
        signs = {t.number: t.user_attrs.get("lease") for t in trials}
        before, self._silence = self._silence, {}
        for number, sign in signs.items():
            last, silence = before.get(number, (None, 0.0))
            self._silence[number] = (sign, silence + passed if number in before and sign == last else 0.0)
        return [t for t in trials if self._silence[t.number][1] >= self.lease]


def reap(study: Study, watch: Watch) -> list[FrozenTrial]:
    """Queue the trials of dead workers again; return those trials."""
    dead = watch.silent(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    for trial in dead:
        queue_again(study, trial, lost=True)
    return dead
