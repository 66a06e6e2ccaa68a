"""What chooses the next point of a sweep; keyword arguments are the keys of `sampler`.

Every trial has a sampler of its own, seeded by the sweep's seed and the trial's number: workers never repeat each
other, and a sweep of one worker is the same each time, also when it was interrupted. What samplers learn they learn
from the finished trials.
"""

from collections.abc import Callable, Sequence
from typing import Any

from optuna import samplers
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ar_lightning.core.fields import NonNegativeInt, TwoOrMore

__all__ = ["cmaes", "gp", "grid", "nsgaii", "random", "tpe"]


def tpe(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 10, multivariate: bool = True) -> BaseSampler:
    """Tree-structured Parzen estimator (Bergstra et al., 2011); what is still running counts as bad.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
        multivariate: model dimensions that there are together jointly, the branches each on its own.
    """
    return SeededByTrial(
        lambda s: samplers.TPESampler(
            seed=s, n_startup_trials=startup_trials, multivariate=multivariate, group=multivariate, constant_liar=True
        ),
        seed,
    )


def random(*, seed: NonNegativeInt = 0) -> BaseSampler:
    """Random search.

    Args:
        seed: makes the choices repeatable.
    """
    return SeededByTrial(lambda s: samplers.RandomSampler(seed=s), seed)


def gp(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 10) -> BaseSampler:
    """Gaussian process; choosing gets slow after some hundred trials. Branches are searched at random.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
    """
    return SeededByTrial(lambda s: samplers.GPSampler(seed=s, n_startup_trials=startup_trials), seed)


def cmaes(*, seed: NonNegativeInt = 0, startup_trials: NonNegativeInt = 1) -> BaseSampler:
    """CMA-ES (Hansen & Ostermeier, 2001), for numbers; choices and branches are searched at random.

    Args:
        seed: makes the choices repeatable.
        startup_trials: finished trials before it replaces random search.
    """
    return SeededByTrial(
        lambda s: samplers.CmaEsSampler(seed=s, n_startup_trials=startup_trials, warn_independent_sampling=False), seed
    )


def nsgaii(*, seed: NonNegativeInt = 0, population: TwoOrMore = 20) -> BaseSampler:
    """NSGA-II (Deb et al., 2002), for two objectives.

    Args:
        seed: makes the choices repeatable.
        population: trials of a generation.
    """
    return SeededByTrial(lambda s: samplers.NSGAIISampler(seed=s, population_size=population), seed)


def grid() -> BaseSampler:
    """Every point of a space of choices and steps, once: they wait in the study, none is sampled."""
    return samplers.RandomSampler(seed=0)


class SeededByTrial(BaseSampler):
    """A sampler made anew for every trial, with a seed that is a function of the trial's number.

    Args:
        make: builds the sampler from a seed.
        seed: the sweep's.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.sampler = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler = self.make((self.seed * 1_000_003 + trial.number) % 2**32)
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
