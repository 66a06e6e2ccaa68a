"""Annotations for hyper-parameters: a plain type, with the range it may lie in.

A constructor that says `hidden: PositiveInt = 500` has declared the config key, its type, default and legal values.
"""

import types
from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any, Literal, Union, get_args, get_origin

__all__ = [
    "Activation",
    "Decay",
    "Fraction",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Order",
    "PositiveFloat",
    "PositiveInt",
    "Range",
    "out_of_range",
    "plain_type",
    "type_name",
]


@dataclass(frozen=True)
class Range:
    """An interval of legal numbers; `open_low`, `open_high` exclude its ends."""

    low: float = -inf
    high: float = inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return isfinite(value) and above and below

    def __str__(self) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:g}" if self.low > -inf else ""
        high = f"{'<' if self.open_high else '<='} {self.high:g}" if self.high < inf else ""
        return " and ".join(part for part in (low, high) if part)


PositiveInt = Annotated[int, Range(low=1)]
NonNegativeInt = Annotated[int, Range(low=0)]
PositiveFloat = Annotated[float, Range(low=0, open_low=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Decay = Annotated[float, Range(low=0, high=1, open_high=True)]
Fraction = Annotated[float, Range(low=0, high=1, open_low=True)]
Order = Literal["raster", "random"]
Activation = Literal["sigmoid", "relu"]


def plain_type(annotation: Any) -> Any:
    """Strip every `Range` from an annotation: `PositiveInt | None` becomes `int | None`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return args[0]
    if origin in (Union, types.UnionType):
        return Union[tuple(plain_type(a) for a in args)]  # noqa: UP007 - a tuple of members, not two names
    if origin in (tuple, list):
        return origin[tuple(plain_type(a) for a in args)]
    return annotation


def out_of_range(annotation: Any, value: Any) -> str | None:
    """Return what a number should have been (`> 0`), or None where it is legal or no number."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        interval = args[1]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return str(interval) if is_number and value not in interval else None
    if origin in (tuple, list) and isinstance(value, (tuple, list)):
        members = args if origin is tuple else args * len(value)
        return next((bad for a, v in zip(members, value, strict=False) if (bad := out_of_range(a, v))), None)
    return next((bad for a in args if (bad := out_of_range(a, value))), None) if origin is not Literal else None


def type_name(annotation: Any) -> str:
    """Write an annotation as a person would: `int >= 1`, `adam | sgd`, `float > 0 or null`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{args[0].__name__} {args[1]}"
    if origin is Literal:
        return " | ".join(str(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in args)
    if origin in (tuple, list):
        return f"[{', '.join(type_name(a) for a in args)}{', ...' if origin is list else ''}]"
    return "null" if annotation is type(None) else annotation.__name__
