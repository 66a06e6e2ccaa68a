"""Annotations for hyper-parameters: a plain type, with the range it may lie in.

A constructor that says `hidden: PositiveInt = 500` has declared the config key, its type, default and legal values.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Literal

__all__ = [
    "Activation",
    "Decay",
    "Dropout",
    "Fraction",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Order",
    "PositiveFloat",
    "PositiveInt",
    "Range",
    "TwoOrMore",
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
TwoOrMore = Annotated[int, Range(low=2)]
NonNegativeInt = Annotated[int, Range(low=0)]
PositiveFloat = Annotated[float, Range(low=0, open_low=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Decay = Annotated[float, Range(low=0, high=1, open_high=True)]
Dropout = Decay
Fraction = Annotated[float, Range(low=0, high=1, open_low=True)]
Order = Literal["raster", "random"]
Activation = Literal["sigmoid", "relu"]
