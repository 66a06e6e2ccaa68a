"""Parts of a study as studies of their own, in memory: one of its objectives, some of its trials; and what mattered."""

import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from ar_lightning.sweep.dimensions import Params, Space, parse_space
from ar_lightning.sweep.report.outcomes import best_first

__all__ = [
    "EVALUATOR",
    "NothingToShowError",
    "branches",
    "complete_trials",
    "importances",
    "is_lower_better",
    "of_objective",
    "openers",
    "searched",
    "with_pruned_as_worst",
    "without_worst",
]

# PED-ANOVA (Watanabe et al., 2023) asks what tells the best trials from the rest. It takes conditional parameters, and
# fits no forest to a thousand trials, as fANOVA does. Of twenty trials, the best tenth would be two.
EVALUATOR = PedAnovaImportanceEvaluator(target_quantile=0.25)
FEWEST = 8  # trials; with fewer, the best quarter is a single one


class NothingToShowError(Exception):
    """A study has too little in it; the message says of what."""


def of_objective(study: Study, objective: int) -> Study:
    """Return a copy of a study with one of its objectives: reading it is fast, and nothing changes in it."""
    return _copy(study, objective, study.get_trials(deepcopy=False))


def branches(study: Study) -> dict[str, Study]:
    """Split the complete trials of a study of one objective by the branches of its space.

    Within a branch, all trials have the same parameters. A space without branches has one, without a name.
    """
    space = _space(study)
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in complete_trials(study, at_least=0):
        groups.setdefault(" ".join(_branch(space, trial.params)), []).append(trial)
    return {branch: _copy(study, 0, trials) for branch, trials in sorted(groups.items())} or {"": study}


def without_worst(study: Study, limit: float) -> Study:
    """Return a copy of a study of one objective with the complete trials that are not beyond a value."""
    is_usual = limit.__ge__ if is_lower_better(study) else limit.__le__
    return _copy(study, 0, [t for t in complete_trials(study, at_least=0) if is_usual(t.values[0])])


def with_pruned_as_worst(study: Study) -> Study:
    """Return a copy of a study of one objective whose pruned trials count as complete, and as bad as the worst.

    Left out, as Optuna does, they would hide what a bad trial looks like.

    Raises:
        NothingToShowError: they are too few to tell good from bad.
    """
    trials = study.get_trials(deepcopy=False)
    ranked = best_first(trials, study.directions[0])
    pruned = [t for t in trials if t.state is TrialState.PRUNED]
    if not ranked or len(ranked) + len(pruned) < FEWEST:
        raise NothingToShowError(f"needs {FEWEST} complete or pruned trials, has {len(ranked) + len(pruned)}")
    if not pruned and ranked[0].values == ranked[-1].values:
        raise NothingToShowError("all trials are equally good")
    return _copy(study, 0, [*ranked, *(_like(t, TrialState.COMPLETE, ranked[-1].values[0]) for t in pruned)])


def importances(study: Study) -> dict[str, float]:
    """Return what each parameter contributes to being among the best, of a sum of 1, the greatest first.

    Args:
        study: of one objective.

    Returns:
        By Optuna's name of a parameter; empty where there are too few trials.
    """
    try:
        ended = with_pruned_as_worst(study)
    except NothingToShowError:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(ended, evaluator=EVALUATOR)
    return {name: float(value) for name, value in found.items()}


def complete_trials(study: Study, at_least: int) -> list[FrozenTrial]:
    """Return the complete trials.

    Raises:
        NothingToShowError: they are too few.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < at_least:
        raise NothingToShowError(f"needs {at_least} complete trial{'s' * (at_least > 1)}, has {len(trials)}")
    return trials


def searched(trials: list[FrozenTrial], at_least: int) -> list[str]:
    """Return the parameters that any of the trials has, in Optuna's order.

    Raises:
        NothingToShowError: they are too few.
    """
    names = sorted({name for t in trials for name in t.params})
    if len(names) < at_least:
        raise NothingToShowError(f"needs {at_least} parameters, has {len(names)}")
    return names


def is_lower_better(study: Study) -> bool:
    """Whether the first objective is minimised."""
    return study.directions[0] is StudyDirection.MINIMIZE


def openers(study: Study) -> set[str]:
    """Return the parameters with choices that open branches in which others are searched."""
    return _openers(_space(study))


def _space(study: Study) -> Space:
    return parse_space(study.user_attrs["definition"]["space"], "space")


def _openers(space: Space) -> set[str]:
    inner = [_openers(c.branch) for d in space.dimensions for c in d.choices]
    return {d.name for d in space.dimensions if any(c.branch.dimensions for c in d.choices)}.union(*inner)


def _branch(space: Space, params: Params) -> list[str]:
    """Return the choices of a trial that open branches."""
    chosen = []
    for d in space.dimensions:
        if any(c.branch.dimensions for c in d.choices):
            chosen += [str(params[d.name]), *_branch(d.choice(params[d.name]).branch, params)]
    return chosen


def _copy(study: Study, objective: int, trials: list[FrozenTrial]) -> Study:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it says that there is a new study
    try:
        copy = optuna.create_study(study_name=study.study_name, direction=study.directions[objective])
    finally:
        optuna.logging.set_verbosity(verbosity)
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
