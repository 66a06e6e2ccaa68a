"""Which parameters matter, and a study seen by one of its objectives."""

import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from ar_lightning.sweep.outcomes import best_first

__all__ = ["EVALUATOR", "FEWEST", "importances", "of_objective", "of_trials", "with_pruned_as_worst"]

# PED-ANOVA (Watanabe et al., 2023) asks what tells the best trials from the rest. It takes conditional parameters, and
# 0.01 s with 1,000 trials, where fANOVA takes seconds. The best quarter rather than tenth: steadier with some 20 trials.
EVALUATOR = PedAnovaImportanceEvaluator(target_quantile=0.25)
FEWEST = 8  # trials; with fewer, the best quarter is a single one


def of_objective(study: Study, objective: int) -> Study:
    """Return a copy of a study with one of its objectives, in memory: reading it is fast, and nothing changes in it."""
    return _copy(study, objective, study.get_trials(deepcopy=False))


def of_trials(study: Study, trials: list[FrozenTrial]) -> Study:
    """Return a copy of a study of one objective with some of its trials, which are numbered anew."""
    return _copy(study, 0, trials)


def with_pruned_as_worst(study: Study) -> Study:
    """Return a copy of a study of one objective whose pruned trials count as complete, and as bad as the worst.

    Left out, as Optuna does, they would hide what a bad trial looks like.
    """
    trials = study.get_trials(deepcopy=False)
    ranked = best_first(trials, study.directions[0])
    if not ranked:
        return study
    pruned = (t for t in trials if t.state is TrialState.PRUNED)
    return _copy(study, 0, [*ranked, *(_like(t, TrialState.COMPLETE, ranked[-1].values[0]) for t in pruned)])


def importances(study: Study) -> dict[str, float]:
    """Return what each parameter contributes to being among the best, of a sum of 1, the greatest first.

    Args:
        study: of one objective.

    Returns:
        By Optuna's name of a parameter; empty where there are too few trials.
    """
    trials = with_pruned_as_worst(study)
    if len(trials.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < FEWEST:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(trials, evaluator=EVALUATOR)
    return {name: float(value) for name, value in found.items()}


def _copy(study: Study, objective: int, trials: list[FrozenTrial]) -> Study:
    storage = optuna.storages.InMemoryStorage()
    direction = study.directions[objective]
    storage.create_new_study([direction], study.study_name)  # unlike optuna.create_study, says nothing
    copy = optuna.load_study(study_name=study.study_name, storage=storage)
    for key, value in study.user_attrs.items():
        copy.set_user_attr(key, value)
    copy.add_trials([_like(t, t.state, t.values[objective] if t.values else None) for t in trials])
    return copy


def _like(trial: FrozenTrial, state: TrialState, value: float | None) -> FrozenTrial:
    return create_trial(
        state=state,
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        intermediate_values=trial.intermediate_values,
    )
