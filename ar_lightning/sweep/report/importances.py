"""Which parameters set the best trials of a sweep apart.

`optuna.importance` takes seconds to import, scikit-learn with it: only once there are trials enough.
"""

from typing import TYPE_CHECKING

import optuna
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from ar_lightning.sweep.report.outcomes import best_first
from ar_lightning.sweep.study import quiet

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

__all__ = ["TooLittleError", "evaluator", "importances", "with_pruned_as_worst"]

FEWEST = 8  # trials; with fewer, the best quarter is a single one


class TooLittleError(Exception):
    """A study has too little in it; the message says of what."""


def evaluator() -> "BaseImportanceEvaluator":
    """Return PED-ANOVA (Watanabe et al., 2023), which asks what tells the best quarter of the trials from the rest.

    It takes conditional parameters, and fits no forest to a thousand trials, as fANOVA does. Of twenty trials, Optuna's
    default, the best tenth, would be two.
    """
    from optuna.importance import PedAnovaImportanceEvaluator

    return PedAnovaImportanceEvaluator(target_quantile=0.25)


def importances(study: Study, objective: int = 0) -> dict[str, float]:
    """Return how much each parameter decides about being among the best, as shares of 1, the largest first.

    It is by Optuna's name of the parameter, and empty if there are too few trials.
    """
    try:
        ended = with_pruned_as_worst(study, objective)
    except TooLittleError:
        return {}
    from optuna.importance import get_param_importances

    return {name: float(value) for name, value in get_param_importances(ended, evaluator=evaluator()).items()}


def with_pruned_as_worst(study: Study, objective: int = 0) -> Study:
    """Return a copy of one objective of a study whose pruned trials count as complete, and as bad as the worst.

    Optuna leaves pruned trials out, and with them what a bad trial looks like. `TooLittleError` if the trials are too
    few, or too alike, to tell good from bad.
    """
    trials = study.get_trials(deepcopy=False)
    direction = study.directions[objective]
    ranked = best_first(trials, direction, objective)
    pruned = [t for t in trials if t.state is TrialState.PRUNED]
    if not ranked or len(ranked) + len(pruned) < FEWEST:
        raise TooLittleError(f"needs {FEWEST} complete or pruned trials, has {len(ranked) + len(pruned)}")
    values = [trial.values[objective] for trial in ranked]
    if not pruned and values[0] == values[-1]:
        raise TooLittleError("all trials are equally good")
    quiet()  # or it says that there is a new study
    copy = optuna.create_study(study_name=study.study_name, direction=direction)
    ended = zip([*ranked, *pruned], [*values, *[values[-1]] * len(pruned)], strict=True)
    copy.add_trials([create_trial(value=v, params=t.params, distributions=t.distributions) for t, v in ended])
    return copy
