"""The search space of a sweep: which config keys vary, and over what.

A dimension is a range of numbers or a list of choices for one config key. A choice may open a branch, dimensions that
there are only where it is chosen:

    model.name:
      type: categorical
      choices:
        nade: {model.hidden: {type: int, low: 100, high: 500}, trainer.ema: 0.99}
        row_lstm: {model.layers: {type: int, low: 1, high: 5}}

A plain value in a branch is set rather than searched. Optuna knows a dimension by its config key, within a branch by
`nade:model.hidden`. Imports no Optuna.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from ar_lightning.errors import UserError, did_you_mean
from ar_lightning.fieldtypes import yaml_text
from ar_lightning.layers import Settings

__all__ = ["Choice", "Dimension", "Space", "grid", "own_values", "parse_space", "probes", "settings_of", "suggest"]

KEYS = {
    "float": ("type", "low", "high", "log", "step"),
    "int": ("type", "low", "high", "log", "step"),
    "categorical": ("type", "choices"),
}
Params = dict[str, Any]  # by Optuna's name of a dimension; a choice is its label


@dataclass(frozen=True)
class Space:
    """Dimensions, and values that are set beside them."""

    dimensions: tuple["Dimension", ...]
    constants: Settings


@dataclass(frozen=True)
class Choice:
    """One option: its name for Optuna, the value it sets, and the branch it opens."""

    label: Any
    value: Any
    branch: Space


@dataclass(frozen=True)
class Dimension:
    """What one config key may be: a number of a range, or a choice."""

    name: str
    key: str
    kind: str  # float, int or categorical
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    choices: tuple[Choice, ...] = ()

    def choice(self, label: Any) -> Choice:
        """Return the choice of this label."""
        return next(c for c in self.choices if _same(c.label, label))


def parse_space(content: Any, where: str, branch: str = "") -> Space:
    """Read a space, or a branch of one, from plain containers.

    Args:
        content: by config key, `{type, low, high, log, step}` or `{type: categorical, choices}`.
        where: what begins the message of an error.
        branch: the choice that opens it; empty at the top.

    Raises:
        UserError: it says which key is wrong and what was expected.
    """
    if not isinstance(content, dict) or not (content or branch):
        raise UserError(f"{where}: expected config keys with what they may be, got {yaml_text(content)}")
    dimensions, constants = [], {}
    for key, given in content.items():
        if isinstance(given, dict):
            dimensions.append(_dimension(str(key), given, f"{where}.{key}", branch))
        elif branch:
            constants[str(key)] = given
        else:
            example = "{type: float, low: 1e-4, high: 1e-2, log: true}"
            raise UserError(f"{where}.{key}: expected a range or choices, such as {example}, got {yaml_text(given)}")
    space = Space(tuple(dimensions), constants)
    for d in dimensions:
        for choice in d.choices:
            if twice := sorted(_keys(choice.branch) & set(map(str, content))):
                raise UserError(f"{where}.{d.key}.choices.{choice.label}.{twice[0]}: is also outside of the branch")
    return space


def _keys(space: Space) -> set[str]:
    branches = [_keys(c.branch) for d in space.dimensions for c in d.choices]
    return set(space.constants).union((d.key for d in space.dimensions), *branches)


def _dimension(key: str, given: dict[Any, Any], where: str, branch: str) -> Dimension:
    name = f"{branch}:{key}" if branch else key
    kind = given.get("type")
    if kind not in KEYS:
        raise UserError(f"{where}.type: unknown type {yaml_text(kind)}{did_you_mean(kind, KEYS)}")
    for word in given:
        if word not in KEYS[kind]:
            raise UserError(f"{where}: no key '{word}' of type {kind}{did_you_mean(word, KEYS[kind])}")
    if kind == "categorical":
        return Dimension(name, key, kind, choices=_choices(given.get("choices"), f"{where}.choices", branch))
    low, high, log, step = given.get("low"), given.get("high"), given.get("log", False), given.get("step")
    for word, value in {"low": low, "high": high, **({} if step is None else {"step": step})}.items():
        numbers = (int,) if kind == "int" else (int, float)
        if type(value) not in numbers or not math.isfinite(value):
            raise UserError(f"{where}.{word}: expected {kind}, got {yaml_text(value)}")
    if not isinstance(log, bool):
        raise UserError(f"{where}.log: expected bool, got {yaml_text(log)}")
    if low > high:  # type: ignore[operator]
        raise UserError(f"{where}: low is above high: {yaml_text(low)} > {yaml_text(high)}")
    if log and low <= 0:  # type: ignore[operator]
        raise UserError(f"{where}: log needs low above 0, got {yaml_text(low)}")
    if step is not None and (log or step <= 0):
        raise UserError(f"{where}.step: {'log has no steps; leave one out' if log else 'expected a number above 0'}")
    if kind == "float":
        low, high = float(low), float(high)  # type: ignore[arg-type]
    return Dimension(name, key, kind, low, high, step, log)  # type: ignore[arg-type]


def _choices(given: Any, where: str, branch: str) -> tuple[Choice, ...]:
    if not isinstance(given, (list, dict)) or not given:
        raise UserError(f"{where}: expected a list, or a mapping from choice to branch, got {yaml_text(given)}")
    choices = []
    for value in given:
        # Optuna takes plain values only; others go by their text.
        label = value if value is None or isinstance(value, (bool, int, float, str)) else yaml_text(value)
        if any(_same(label, c.label) for c in choices):
            raise UserError(f"{where}: {yaml_text(value)} is there twice")
        path = f"{branch}:{label}" if branch else str(label)
        inside = (given[value] or {}) if isinstance(given, dict) else {}
        choices.append(Choice(label, value, parse_space(inside, f"{where}.{label}", path)))
    return tuple(choices)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)  # to Python, 1 equals True and 1.0


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
    """Return the point of the space at which a config stands.

    Args:
        space: the space.
        own: function from a config key to the config's value.

    Raises:
        ValueError: a value lies outside of the space; the message names its key.
    """
    params: Params = {}
    for d in space.dimensions:
        value = own(d.key)
        value = list(value) if isinstance(value, tuple) else value
        if d.kind == "categorical":
            choice = next((c for c in d.choices if c.value == value), None)
            if choice is None:
                raise ValueError(f"{d.key}={yaml_text(value)}")
            params |= {d.name: choice.label} | own_values(choice.branch, own)
        elif isinstance(value, (int, float)) and d.low <= value <= d.high and _on_step(d, value):
            params[d.name] = value
        else:
            raise ValueError(f"{d.key}={yaml_text(value)}")
    return params


def _on_step(d: Dimension, value: float) -> bool:
    steps = (value - d.low) / d.step if d.step else 0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def probes(space: Space) -> Iterator[tuple[str, Settings]]:
    """Yield points that together contain every end point and every choice, each with the dimension it is of."""
    middle = settings_of(space, _corner(space))
    yield "", middle
    for d in space.dimensions:
        if d.kind != "categorical":
            yield from ((d.name, {**middle, d.key: value}) for value in (d.low, d.high))
        for choice in d.choices:
            rest = settings_of(Space(tuple(o for o in space.dimensions if o is not d), space.constants), _corner(space))
            for name, inside in probes(choice.branch):
                yield name or d.name, {**rest, d.key: choice.value, **inside}


def _corner(space: Space) -> Params:
    params: Params = {}
    for d in space.dimensions:
        params[d.name] = d.choices[0].label if d.choices else d.low
        if d.choices:
            params |= _corner(d.choices[0].branch)
    return params


def grid(space: Space) -> list[Params]:
    """Return every point of a space of choices and steps.

    Raises:
        ValueError: a dimension has no steps; the message names it.
    """
    axes: list[list[Params]] = []
    for d in space.dimensions:
        if d.kind == "categorical":
            axes.append([{d.name: c.label} | inside for c in d.choices for inside in grid(c.branch)])
        else:
            step = d.step or (1 if d.kind == "int" and not d.log else None)
            if step is None and d.low != d.high:
                raise ValueError(d.name)
            count = 1 if step is None else math.floor((d.high - d.low) / step + 1e-9) + 1
            axes.append([{d.name: d.low + i * (step or 0)} for i in range(count)])
    return [{k: v for part in point for k, v in part.items()} for point in product(*axes)]
