"""What a dataset holds and what a model is built for: shapes and supports, in plain Python."""

from dataclasses import dataclass
from math import prod
from typing import Any

__all__ = ["DataSpec", "Shapes"]


@dataclass(frozen=True)
class DataSpec:
    """What one example is.

    Args:
        shape: `(C, *sites)`: `(1, 28, 28)` for a grey image, `(1, D)` for a sequence or a table row.
        levels: number of values a site takes, `0..levels-1`; None for real values.
        classes: number of labels, 0 where there are none.
    """

    shape: tuple[int, ...]
    levels: int | None
    classes: int = 0

    @property
    def dims(self) -> int:
        """Number of dimensions `D` that bits/dim divides by, channels included."""
        return prod(self.shape)

    @property
    def support(self) -> str:
        """`binary`, `levels` or `real`."""
        return "real" if self.levels is None else "binary" if self.levels == 2 else "levels"

    def __str__(self) -> str:
        values = {"real": "real values", "binary": "binary values"}.get(self.support, f"{self.levels} levels")
        return f"{'x'.join(map(str, self.shape))} with {values}"

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, as kept in checkpoints."""
        return {"shape": list(self.shape), "levels": self.levels, "classes": self.classes}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "DataSpec":
        """Inverse of `to_dict`."""
        return cls(tuple(plain["shape"]), plain["levels"], plain["classes"])


@dataclass(frozen=True)
class Shapes:
    """What a model maps from and to.

    The channels of a site are read in `groups`: each on its own, in turn (R, then G given R, then B), or all in one
    group, where the likelihood models them jointly.

    Args:
        data: `(C, *sites)` of one example.
        inputs: encoded inputs `E` per value; the network reads `(B, C * E, *sites)`.
        params: likelihood parameters `P` per group of channels; the network returns `(B, groups * P, *sites)`.
        classes: number of classes to condition on, 0 for an unconditional model.
        joint: the channels of a site are one group.
    """

    data: tuple[int, ...]
    inputs: int = 1
    params: int = 1
    classes: int = 0
    joint: bool = False

    @property
    def dims(self) -> int:
        """Number of values `D` in one example."""
        return prod(self.data)

    @property
    def groups(self) -> int:
        """Number of groups of channels at a site."""
        return 1 if self.joint else self.data[0]

    @property
    def sites(self) -> int:
        """Number of sites `S` in one example."""
        return prod(self.data[1:])

    @property
    def tokens(self) -> int:
        """Number of groups of channels in one example, those of all sites."""
        return self.groups * self.sites

    @property
    def token_inputs(self) -> int:
        """Encoded inputs of a group of channels."""
        return self.data[0] // self.groups * self.inputs

    @property
    def outputs(self) -> int:
        """Channels of the network's output, `groups * P`."""
        return self.groups * self.params
