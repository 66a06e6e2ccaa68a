"""Points of a search space: what a trial chooses, the config it stands for, and all of them for a grid.

Imports no Optuna.
"""

import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

from ar_lightning.config.overlay import Settings
from ar_lightning.config.values import yaml_text
from ar_lightning.sweep.dimensions import Dimension, Params, Space

__all__ = ["grid", "own_values", "probes", "settings_of", "suggest"]

MOST_POINTS = 10_000  # of a grid


def suggest(space: Space, trial: Any) -> Params:
    """Let an `optuna.Trial` choose every dimension that there is, depth first; return its choices by name."""
    params: Params = {}
    for d in space.dimensions:
        if d.kind == "categorical":
            params[d.name] = trial.suggest_categorical(d.name, [c.label for c in d.choices])
            params |= suggest(d.choice(params[d.name]).branch, trial)
        elif d.kind == "int":
            params[d.name] = trial.suggest_int(d.name, d.low, d.high, step=d.step or 1, log=d.log)
        else:
            params[d.name] = trial.suggest_float(d.name, d.low, d.high, step=d.step, log=d.log)
    return params


def settings_of(space: Space, params: Params) -> Settings:
    """Return the config settings that choices by name stand for."""
    settings = dict(space.constants)
    for d in space.dimensions:
        if d.kind == "categorical":
            choice = d.choice(params[d.name])
            settings |= {d.key: choice.value} | settings_of(choice.branch, params)
        else:
            settings[d.key] = params[d.name]
    return settings


def own_values(space: Space, own: Any) -> Params:
    """Return the point of the space at which a config stands; `settings_of` leads back to the config.

    Args:
        space: the space.
        own: function from a config key to the config's value.

    Raises:
        ValueError: a value lies outside of the space; the message names its key.
    """
    params: Params = {}
    for key, constant in space.constants.items():
        if not _equal(own(key), constant):
            raise ValueError(f"{key}={yaml_text(own(key))}")
    for d in space.dimensions:
        value = own(d.key)
        if d.kind == "categorical":
            choice = next((c for c in d.choices if _equal(c.value, value)), None)
            if choice is None:
                raise ValueError(f"{d.key}={yaml_text(value)}")
            params |= {d.name: choice.label} | own_values(choice.branch, own)
        elif value in d:
            params[d.name] = value
        else:
            raise ValueError(f"{d.key}={yaml_text(value)}")
    return params


def _equal(a: Any, b: Any) -> bool:
    """Whether two values of a config key are the same, where a list may be a tuple."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(
        (list(a) if isinstance(a, tuple) else a) == (list(b) if isinstance(b, tuple) else b)
    )


def probes(space: Space) -> Iterator[Settings]:
    """Yield points that together contain every end point and every choice, as config settings."""
    corner = settings_of(space, _corner(space))
    yield corner
    for d in space.dimensions:
        if d.kind != "categorical":
            yield from ({**corner, d.key: value} for value in (d.low, d.high))
        rest = Space(tuple(o for o in space.dimensions if o is not d), space.constants)
        for choice in d.choices:
            for inside in probes(choice.branch):
                yield {**settings_of(rest, _corner(rest)), d.key: choice.value, **inside}


def _corner(space: Space) -> Params:
    """Return the point of all low ends and first choices."""
    params: Params = {}
    for d in space.dimensions:
        params[d.name] = d.choices[0].label if d.choices else d.low
        if d.choices:
            params |= _corner(d.choices[0].branch)
    return params


def grid(space: Space) -> list[Params]:
    """Return every point of a space of choices and steps.

    Raises:
        ValueError: a dimension has no steps, the message names it; or there are too many points.
    """
    if (size := _size(space)) > MOST_POINTS:
        raise ValueError(f"the grid has {size:,} points, of at most {MOST_POINTS:,}; make step larger")
    return _points(space)


def _size(space: Space) -> int:
    return math.prod(sum(_size(c.branch) for c in d.choices) if d.choices else _count(d) for d in space.dimensions)


def _count(d: Dimension) -> int:
    """Return how many values a range has."""
    if d.low == d.high:
        return 1
    step = d.step or (1 if d.kind == "int" and not d.log else None)
    if step is None:
        raise ValueError(f"{d.name}: a grid needs step, or choices")
    return round((d.high - d.low) / step) + 1


def _points(space: Space) -> list[Params]:
    axes: list[list[Params]] = []
    for d in space.dimensions:
        if d.kind == "categorical":
            axes.append([{d.name: c.label} | inside for c in d.choices for inside in _points(c.branch)])
        else:
            low, step = Decimal(str(d.low)), Decimal(str(d.step or 1))  # in floats, 0.1 + 3 * 0.2 is above 0.7
            axes.append([{d.name: type(d.low)(low + i * step)} for i in range(_count(d))])
    return [{name: value for part in point for name, value in part.items()} for point in product(*axes)]
