"""The search space of a sweep: which config keys vary, and over what; and the points of it.

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

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

from ar_lightning.config.overlay import Settings
from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import SECTIONS
from ar_lightning.config.values import check_value, yaml_text
from ar_lightning.core.errors import UserError, did_you_mean

__all__ = ["Dimension", "Space", "grid", "own_values", "parse_space", "probes", "settings_of", "suggest"]

RANGE = ("type", "low", "high", "log", "step")
KEYS = {"float": RANGE, "int": RANGE, "categorical": ("type", "choices")}
EXAMPLE = "{type: float, low: 1e-4, high: 1e-2, log: true}"
MOST_POINTS = 10_000  # of a grid
Params = dict[str, Any]  # by Optuna's name of a dimension; a choice is its label


@dataclass(frozen=True)
class Space:
    """Dimensions, and values that are set beside them."""

    dimensions: tuple["Dimension", ...]
    constants: Settings

    def chosen(self, choose: Callable[["Dimension"], Any]) -> tuple[Params, Settings]:
        """Choose a value, or a label, for every dimension that there is, depth first.

        Return the choices by name, and the config settings that they stand for.
        """
        params: Params = {}
        settings = dict(self.constants)
        for d in self.dimensions:
            params[d.name] = settings[d.key] = choose(d)
            if d.choices:
                choice = d.choice(params[d.name])
                inside, set_inside = choice.branch.chosen(choose)
                params |= inside
                settings |= {d.key: choice.value, **set_inside}
        return params, settings

    def keys(self) -> set[str]:
        """Return every config key, those of branches too."""
        branches = (choice.branch.keys() for d in self.dimensions for choice in d.choices)
        return set(self.constants).union((d.key for d in self.dimensions), *branches)


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

    def __contains__(self, value: Any) -> bool:
        """Whether a range has this value."""
        steps = (value - self.low) / self.step if self.step else 0
        is_kind = type(value) is int or (type(value) is float and self.kind == "float")
        return is_kind and self.low <= value <= self.high and math.isclose(steps, round(steps), rel_tol=0, abs_tol=1e-6)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same, where a list may be a tuple; to Python, 1 equals True."""
    a, b = (list(value) if isinstance(value, tuple) else value for value in (a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def parse_space(content: Any, where: str, branch: str = "") -> Space:
    """Read a space from plain containers, by config key.

    A key has `{type, low, high, log, step}` or `{type: categorical, choices}`. `branch` is the choice that opens this
    space, empty at the top; messages begin with its place, `where`.
    """
    if not isinstance(content, dict) or not (content or branch):
        raise UserError(f"expected config keys with what they may be, got {yaml_text(content)}", where)
    dimensions, constants = [], {}
    for key, given in content.items():
        here = f"{where}.{key}"
        if key in REGISTRIES or key in SECTIONS:
            within = [k for k in given if k not in (*RANGE, "choices")] if isinstance(given, dict) else []
            name = f"; did you mean '{key}.name'?" if key in REGISTRIES else f", such as {key}.KEY"
            raise UserError(f"give the whole key{f', such as {key}.{within[0]}' if within else name}", here)
        if isinstance(given, dict):
            dimensions.append(_dimension(str(key), given, here, branch))
        elif branch:
            constants[str(key)] = given
        else:
            raise UserError(f"expected a range or choices, such as {EXAMPLE}, got {yaml_text(given)}", here)
    for d in dimensions:
        others = (choice.branch.keys() for o in dimensions if o is not d for choice in o.choices)
        outside = set(map(str, content)).union(*others)
        for choice in d.choices:
            if twice := sorted(choice.branch.keys() & outside):
                raise UserError("is also outside of the branch", f"{where}.{d.key}.choices.{choice.label}.{twice[0]}")
    return Space(tuple(dimensions), constants)


def _dimension(key: str, given: dict[Any, Any], where: str, branch: str) -> Dimension:
    name = f"{branch}:{key}" if branch else key
    kind = given.get("type")
    if kind is None:
        raise UserError(f"{where}.type is missing{did_you_mean('', KEYS)}")
    if str(kind) not in KEYS:
        raise UserError(f"unknown type {yaml_text(kind)}{did_you_mean(kind, KEYS)}", f"{where}.type")
    for word in given:
        if word not in KEYS[kind]:
            raise UserError(f"no key '{word}' of type {kind}{did_you_mean(word, KEYS[kind])}", where)
    if kind == "categorical":
        return Dimension(name, key, kind, choices=_choices(given.get("choices"), f"{where}.choices", branch))
    low, high = _number(given, "low", kind, where), _number(given, "high", kind, where)
    step = None if given.get("step") is None else _number(given, "step", kind, where)
    log = check_value(bool, given.get("log", False), f"{where}.log")
    if low > high:
        raise UserError(f"low is above high: {yaml_text(low)} > {yaml_text(high)}", where)
    if log and low <= 0:
        raise UserError(f"log needs low above 0, got {yaml_text(low)}", where)
    if step is not None and (log or step <= 0):
        raise UserError("log has no steps; leave one out" if log else "expected a number above 0", f"{where}.step")
    d = Dimension(name, key, kind, low, high, step, log)
    if step and high not in d:
        last = low + (high - low) // step * step
        raise UserError(f"steps of {yaml_text(step)} do not lead to high; set it to {last:g}", where)
    return d


def _number(given: dict[Any, Any], word: str, kind: str, where: str) -> float:
    if given.get(word) is None:
        raise UserError(f"{where}.{word} is missing: {kind}")
    number: float = check_value({"int": int, "float": float}[kind], given[word], f"{where}.{word}")
    if not math.isfinite(number):
        raise UserError(f"expected a finite number, got {yaml_text(number)}", f"{where}.{word}")
    return number


def _choices(given: Any, where: str, branch: str) -> tuple[Choice, ...]:
    if not isinstance(given, (list, dict)) or not given:
        raise UserError(f"expected a list, or a mapping from choice to branch, got {yaml_text(given)}", where)
    choices: list[Choice] = []
    for value, inside in given.items() if isinstance(given, dict) else ((value, None) for value in given):
        value = _scalar(value) if isinstance(given, dict) else value
        # Optuna takes plain values only, and no NaN; others go by their text.
        label = value if isinstance(value, (bool, int, float, str, type(None))) and value == value else yaml_text(value)
        if any(_same(label, c.label) for c in choices):
            raise UserError(f"{yaml_text(value)} is there twice", where)
        path = f"{branch}:{label}" if branch else str(label)
        choices.append(Choice(label, value, parse_space({} if inside is None else inside, f"{where}.{label}", path)))
    return tuple(choices)


def _scalar(key: Any) -> Any:
    """Return the number or bool that a key of a mapping is: a study keeps its space as JSON, whose keys are texts."""
    with suppress(TypeError, ValueError):
        if isinstance(value := json.loads(key), (bool, int, float)):
            return value
    return key


def suggest(space: Space, trial: Any) -> Params:
    """Let an `optuna.Trial` choose; return its choices by name."""

    def choose(d: Dimension) -> Any:
        if d.kind == "categorical":
            return trial.suggest_categorical(d.name, [c.label for c in d.choices])
        if d.kind == "int":
            return trial.suggest_int(d.name, d.low, d.high, step=d.step or 1, log=d.log)
        return trial.suggest_float(d.name, d.low, d.high, step=d.step, log=d.log)

    return space.chosen(choose)[0]


def settings_of(space: Space, params: Params) -> Settings:
    """Return the config settings that choices by name stand for."""
    return space.chosen(lambda d: params[d.name])[1]


def own_values(space: Space, own: Callable[[str], Any]) -> Params:
    """Return the point of the space at which a config stands; `own` has the config's value of a key.

    A value outside of the space is a `ValueError` that names its key.
    """

    def choose(d: Dimension) -> Any:
        value = own(d.key)
        for choice in d.choices:
            if _same(choice.value, value):
                return choice.label
        if d.choices or value not in d:
            raise ValueError(f"{d.key}={yaml_text(value)}")
        return value

    params, settings = space.chosen(choose)
    for key, value in settings.items():
        if not _same(own(key), value):
            raise ValueError(f"{key}={yaml_text(own(key))}")
    return params


def probes(space: Space) -> Iterator[Settings]:
    """Yield points that together contain every end point and every choice, as config settings."""
    return (settings_of(space, params) for params in _probes(space))


def _probes(space: Space) -> Iterator[Params]:
    corner, _ = space.chosen(lambda d: d.choices[0].label if d.choices else d.low)
    yield corner
    for d in space.dimensions:
        for choice in d.choices:
            yield from ({**corner, d.name: choice.label, **inside} for inside in _probes(choice.branch))
        if not d.choices:
            yield from ({**corner, d.name: end} for end in (d.low, d.high))


def grid(space: Space) -> list[Params]:
    """Return every point of a space of choices and steps; `ValueError` for a range without steps or too many points."""
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
        if d.choices:
            axes.append([{d.name: c.label} | inside for c in d.choices for inside in _points(c.branch)])
        else:
            low, step = Decimal(str(d.low)), Decimal(str(d.step or 1))  # in floats, 0.1 + 3 * 0.2 is above 0.7
            axes.append([{d.name: type(d.low)(low + i * step)} for i in range(_count(d))])
    return [{name: value for part in point for name, value in part.items()} for point in product(*axes)]
