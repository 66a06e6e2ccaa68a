"""The search space of a sweep as it is written: which config keys vary, and over what.

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
from dataclasses import dataclass
from typing import Any

from ar_lightning.config.overlay import Settings
from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import SECTIONS
from ar_lightning.config.values import check_value, yaml_text
from ar_lightning.core.errors import UserError, did_you_mean

__all__ = ["Choice", "Dimension", "Params", "Space", "parse_space"]

RANGE = ("type", "low", "high", "log", "step")
KEYS = {"float": RANGE, "int": RANGE, "categorical": ("type", "choices")}
EXAMPLE = "{type: float, low: 1e-4, high: 1e-2, log: true}"
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

    def __contains__(self, value: Any) -> bool:
        """Whether a range has this value."""
        steps = (value - self.low) / self.step if self.step else 0
        is_kind = type(value) is int or (type(value) is float and self.kind == "float")
        return is_kind and self.low <= value <= self.high and math.isclose(steps, round(steps), rel_tol=0, abs_tol=1e-6)


def parse_space(content: Any, where: str, branch: str = "") -> Space:
    """Read a space, or a branch of one, from plain containers.

    Args:
        content: by config key, `{type, low, high, log, step}` or `{type: categorical, choices}`.
        where: the place of it, for the message of an error.
        branch: the choice that opens it; empty at the top.

    Raises:
        UserError: it says which key is wrong and what was expected.
    """
    if not isinstance(content, dict) or not (content or branch):
        raise UserError(f"expected config keys with what they may be, got {yaml_text(content)}", where)
    dimensions, constants = [], {}
    for key, given in content.items():
        if key in REGISTRIES or key in SECTIONS:
            raise UserError(f"give the whole key{_whole(key, given)}", f"{where}.{key}")
        if isinstance(given, dict):
            dimensions.append(_dimension(str(key), given, f"{where}.{key}", branch))
        elif branch:
            constants[str(key)] = given
        else:
            raise UserError(f"expected a range or choices, such as {EXAMPLE}, got {yaml_text(given)}", f"{where}.{key}")
    for d in dimensions:
        outside = set(map(str, content)).union(*(_inside(o) for o in dimensions if o is not d))
        for choice in d.choices:
            if twice := sorted(_keys(choice.branch) & outside):
                raise UserError("is also outside of the branch", f"{where}.{d.key}.choices.{choice.label}.{twice[0]}")
    return Space(tuple(dimensions), constants)


def _whole(section: str, given: Any) -> str:
    """Guess which key of a section was meant: the one written as a section of its own, or the name."""
    within = [key for key in given if key not in (*RANGE, "choices")] if isinstance(given, dict) else []
    if within:
        return f", such as {section}.{within[0]}"
    return f"; did you mean '{section}.name'?" if section in REGISTRIES else f", such as {section}.KEY"


def _inside(d: Dimension) -> set[str]:
    return set().union(*(_keys(choice.branch) for choice in d.choices))


def _keys(space: Space) -> set[str]:
    return set(space.constants).union((d.key for d in space.dimensions), *map(_inside, space.dimensions))


def _dimension(key: str, given: dict[Any, Any], where: str, branch: str) -> Dimension:
    name = f"{branch}:{key}" if branch else key
    kind = given.get("type")
    if kind is None:
        raise UserError(f"{where}.type is missing{did_you_mean('', KEYS)}")
    if not isinstance(kind, str) or kind not in KEYS:
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
    if high not in d:
        last = d.low + math.floor((d.high - d.low) / (step or 1)) * (step or 1)
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
        plain = value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and value == value)
        label = value if plain else yaml_text(value)
        if any(_same(label, c.label) for c in choices):
            raise UserError(f"{yaml_text(value)} is there twice", where)
        path = f"{branch}:{label}" if branch else str(label)
        choices.append(Choice(label, value, parse_space({} if inside is None else inside, f"{where}.{label}", path)))
    return tuple(choices)


def _scalar(key: Any) -> Any:
    """Return the number or bool that a key of a mapping is: a study keeps its space as JSON, whose keys are texts."""
    try:
        value = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        return key
    return value if isinstance(value, (bool, int, float)) else key


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)  # to Python, 1 equals True and 1.0
