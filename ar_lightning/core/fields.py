"""Annotations for hyper-parameters: a plain type, with the range it may lie in.

A constructor that says `hidden: PositiveInt = 500` has declared the config key, its type, default and legal values.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Literal

__all__ = [
    "LARGEST",
    "Activation",
    "Count",
    "Decay",
    "Dropout",
    "Engine",
    "Fraction",
    "FrameRate",
    "Hours",
    "Key",
    "Minutes",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Order",
    "PositiveFloat",
    "PositiveInt",
    "Range",
    "Temperature",
    "Threads",
    "TwoOrMore",
]


LARGEST = 1e30  # float of a config: its products with small numbers are float32 still


@dataclass(frozen=True)
class Range:
    """An interval of legal numbers, none beyond `LARGEST`; `open_low`, `open_high` exclude its ends."""

    low: float = -inf
    high: float = inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        within = isinstance(value, int) or abs(value) <= LARGEST
        return isfinite(value) and above and below and within

    def __str__(self) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:g}" if self.low > -inf else ""
        high = f"{'<' if self.open_high else '<='} {self.high:g}" if self.high < inf else ""
        return " and ".join(part for part in (low, high) if part)


PositiveInt = Annotated[int, Range(low=1)]
TwoOrMore = Annotated[int, Range(low=2)]
NonNegativeInt = Annotated[int, Range(low=0)]
PositiveFloat = Annotated[float, Range(low=0, open_low=True)]
NonNegativeFloat = Annotated[float, Range(low=0)]
Count = Annotated[int, Range(low=1, high=1_000_000)]  # of what is drawn, and is in memory at once
Hours = Annotated[float, Range(low=0, high=1_000_000, open_low=True)]
Minutes = Hours
Threads = Annotated[int, Range(low=1, high=4096)]
FrameRate = Annotated[float, Range(low=0.1, high=1000)]  # frames a second
Key = Annotated[int, Range(low=0, high=127)]  # of an instrument, as MIDI numbers them
Engine = Literal["auto", "eager", "compiled"]
Temperature = Annotated[float, Range(low=1e-6, high=1e6)]  # beyond, logits divided by it are no numbers any more
Decay = Annotated[float, Range(low=0, high=1, open_high=True)]
Dropout = Decay
Fraction = Annotated[float, Range(low=0, high=1, open_low=True)]
Order = Literal["raster", "random"]
Activation = Literal["sigmoid", "relu"]
