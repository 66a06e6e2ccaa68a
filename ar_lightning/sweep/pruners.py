"""What stops a trial early; keyword arguments are the keys of `pruner`. Steps are epochs, counted from 1."""

from optuna import pruners
from optuna.pruners import BasePruner

from ar_lightning.core.fields import NonNegativeFloat, NonNegativeInt, PositiveInt, TwoOrMore

__all__ = ["hyperband", "median", "none", "patient"]


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
        reduction: one of so many goes on to so many times the epochs.
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
    """The median rule, for trials that no longer improve themselves.

    Args:
        patience: validations without improvement before the rule applies.
        min_delta: how much worse than its best a trial must be to count as not improved.
        startup_trials: finished trials before any is stopped.
        min_epochs: epochs before a trial is stopped.
    """
    return pruners.PatientPruner(
        median(max_epochs, startup_trials=startup_trials, min_epochs=min_epochs), patience - 1, min_delta
    )


def none(max_epochs: int) -> BasePruner:
    """Every trial is trained to its end."""
    return pruners.NopPruner()
