"""What chooses the points of a sweep, and what stops a trial early: Optuna's samplers and pruners, by name.

Keyword arguments are the keys of `sampler` and `pruner` in a sweep file.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from optuna import pruners, samplers
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.core.fields import NonNegativeFloat, NonNegativeInt, PositiveInt, TwoOrMore

__all__ = ["cmaes", "gp", "grid", "hyperband", "median", "none", "nsgaii", "patient", "random", "tpe"]


def tpe(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 10, multivariate: bool = True) -> BaseSampler:
    """Tree-structured Parzen estimator (Bergstra et al., 2011); running trials count as bad ones.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
        multivariate: model the dimensions of a branch jointly, each branch by itself.
    """
    make = partial(
        samplers.TPESampler, n_startup_trials=startup_trials, multivariate=multivariate, group=multivariate,
        constant_liar=True,
    )  # fmt: skip
    return SeededByTrial(make, seed)


def random(*, seed: NonNegativeInt = 0) -> BaseSampler:
    """Random search.

    Args:
        seed: makes the choices repeatable.
    """
    return SeededByTrial(samplers.RandomSampler, seed)


def gp(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 10) -> BaseSampler:
    """Gaussian process; choosing gets slow after some hundred trials. Branches are searched at random.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
    """
    return SeededByTrial(partial(samplers.GPSampler, n_startup_trials=startup_trials), seed)


def cmaes(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 1) -> BaseSampler:
    """CMA-ES (Hansen & Ostermeier, 2001), for numbers; choices and branches are searched at random.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
    """
    make = partial(samplers.CmaEsSampler, n_startup_trials=startup_trials, warn_independent_sampling=False)
    return SeededByTrial(make, seed)


def nsgaii(*, seed: NonNegativeInt = 0, population: TwoOrMore = 20) -> BaseSampler:
    """NSGA-II (Deb et al., 2002), for two objectives.

    Args:
        seed: makes the choices repeatable.
        population: trials of a generation.
    """
    return SeededByTrial(partial(samplers.NSGAIISampler, population_size=population), seed)


def grid() -> BaseSampler:
    """Every point of a space of choices and steps, once; the study queues them all, so nothing is sampled."""
    return samplers.RandomSampler(seed=0)


class SeededByTrial(BaseSampler):
    """A new sampler for every trial, seeded by the sweep's seed and the trial's number.

    So workers never repeat each other, and a sweep of one worker is the same each time, also after an interruption.
    Samplers learn from the finished trials alone.
    """

    def __init__(self, make: Callable[..., BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.sampler = make(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler = self.make(seed=(self.seed * 1_000_003 + trial.number) % 2**32)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.sampler.after_trial(study, trial, state, values)


def median(max_epochs: int, *, startup_trials: NonNegativeInt = 5, min_epochs: NonNegativeInt = 2) -> BasePruner:
    """Stop a trial that is worse than the median of the others at the same epoch.

    Args:
        startup_trials: finished trials before any is stopped.
        min_epochs: epochs before a trial is stopped.
    """
    return pruners.MedianPruner(startup_trials, n_warmup_steps=min_epochs)


def hyperband(max_epochs: int, *, min_epochs: PositiveInt = 1, reduction: TwoOrMore = 3) -> BasePruner:
    """Hyperband (Li et al., 2018): brackets of successive halving.

    Args:
        min_epochs: epochs before a trial is stopped.
        reduction: one trial of so many goes on, to so many times the epochs.
    """
    return pruners.HyperbandPruner(min_epochs, max_epochs, reduction)


def patient(
    max_epochs: int,
    *,
    patience: PositiveInt = 3,
    min_delta: NonNegativeFloat = 0.0,
    startup_trials: NonNegativeInt = 5,
    min_epochs: NonNegativeInt = 2,
) -> BasePruner:
    """The median rule, for trials that have stopped improving.

    Args:
        patience: validations without improvement before the rule applies.
        min_delta: how much worse than its best a trial must be to count as not improved.
        startup_trials: finished trials before any is stopped.
        min_epochs: epochs before a trial is stopped.
    """
    rule = median(max_epochs, startup_trials=startup_trials, min_epochs=min_epochs)
    return pruners.PatientPruner(rule, patience - 1, min_delta)


def none(max_epochs: int) -> BasePruner:
    """Every trial is trained to its end."""
    return pruners.NopPruner()
