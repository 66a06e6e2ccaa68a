"""What a dataset holds and what a model is built for: shapes and supports, in plain Python."""

from dataclasses import dataclass, replace
from math import isfinite, log, prod
from typing import Any

from ar_lightning.core.medium import Medium, MixedTable, Table, medium_from_dict, medium_to_dict

__all__ = ["DataSpec", "Shapes"]


@dataclass(frozen=True)
class DataSpec:
    """What one example is.

    Args:
        shape: `(C, *sites)`: `(1, 28, 28)` for a grey image, `(1, D)` for a sequence or a table row.
        levels: number of values a site takes, `0..levels-1`; None for real values.
        classes: number of labels, 0 where there are none.
        features: number F of features `(F, *sites)`, aligned with the sites and given, not modelled; 0 for none.
        medium: what the values are to a person; None for images and plain arrays.
        quantised: K where the values are levels `0..K-1` that uniform noise was added to: `2 (level + u) / K - 1`.
        labels: what each class is called in the data, whole numbers or names; empty where it is its number,
            `0..classes-1`.
        context: mean and standard deviation, over the training examples, of each of the F numbers that are given with
            an example; the latter is 0 for one that never varies, which is not read. Empty for none.
        ends: examples are sequences of different lengths, at most that of the shape: the last level is the end of one,
            a value that is predicted, scored and drawn as others are, and all values after it are that level again.
            Examples `(1 + C, T)` are frames of C channels, binary or real: the first channel says whether one has
            ended, and then holds 1 to the end, and the others 0.
    """

    shape: tuple[int, ...]
    levels: int | None
    classes: int = 0
    features: int = 0
    medium: Medium | None = None
    quantised: int | None = None
    labels: tuple[int | str, ...] = ()
    context: tuple[tuple[float, float], ...] = ()
    ends: bool = False

    @property
    def end(self) -> int | None:
        """The level that is the end of an example; None where all examples are of one length."""
        return (self.levels or 2) - 1 if self.ends else None

    @property
    def values(self) -> int | None:
        """Number of levels that stand for a value: all but the end, where there is one; None for real values."""
        return self.levels and self.levels - (self.ends and self.shape[0] == 1)

    @property
    def dims(self) -> int:
        """Number of dimensions `D` that bits/dim divides by, channels included."""
        return prod(self.shape)

    @property
    def support(self) -> str:
        """`binary`, `levels`, `real`, or `mixed` of a table whose columns are of several kinds."""
        if isinstance(self.medium, MixedTable):
            return "mixed"
        return "real" if self.levels is None else "binary" if self.levels == 2 else "levels"

    @property
    def log_volume(self) -> float:
        """Log of the volume, in the units that densities are reported in, of a unit of volume of the values, in nats.

        `log p(reported units) = log p(values) - log_volume`; 0 for discrete data. Densities of values that were
        dequantised are reported per unit of level, so that they are comparable to probabilities of levels.
        """
        if self.quantised:
            return self.dims * log(self.quantised / 2)
        return self.medium.log_volume if isinstance(self.medium, Table) else 0.0

    @property
    def given(self) -> int:
        """Number of values that come first and are given: read, and neither scored nor drawn."""
        return self.medium.given if isinstance(self.medium, MixedTable) else 0

    @property
    def has_bpd(self) -> bool:
        """Whether bits/dim say something of it: not of a mixed table, whose values are of several kinds."""
        return self.support != "mixed"

    @property
    def is_plain(self) -> bool:
        """True where an array says all there is to say of the values: for images, and for rows without units."""
        return self.medium is None or (isinstance(self.medium, Table) and self.medium.is_plain)

    def dequantised(self) -> "DataSpec":
        """Return the spec of the same data with uniform noise added to its levels.

        Raises:
            ValueError: it has no levels.
        """
        if self.levels is None:
            raise ValueError(f"{self} cannot be dequantised: it has no levels")
        return replace(self, levels=None, quantised=self.levels)

    def without_noise(self) -> "DataSpec":
        """Return the spec of the levels before uniform noise was added; the spec itself where none was."""
        return replace(self, levels=self.levels or self.quantised, quantised=None)

    @property
    def class_names(self) -> str:
        """The labels of all classes, or the first and the last of many.

        Example:
            >>> DataSpec((1, 8, 8), 2, 10).class_names, DataSpec((1, 8, 8), 2, 2, labels=("cat", "dog")).class_names
            ('0..9', 'cat, dog')
        """
        few = self.labels if len(self.labels) <= 8 else (*self.labels[:3], "..", self.labels[-1])
        return ", ".join(map(str, few)) or f"0..{self.classes - 1}"

    def label_of(self, number: int) -> int | str:
        """Return the label of a class."""
        return self.labels[number] if self.labels else number

    def class_of(self, label: object) -> int | None:
        """Return the number of the class with this label, which may be given as text; None if there is none."""
        known = list(map(str, self.labels or range(self.classes)))
        return known.index(str(label)) if str(label) in known else None

    def __str__(self) -> str:
        values = {"real": "real values", "binary": "binary values", "mixed": "values of several kinds"}
        size = f"{'at most ' * self.ends}{'x'.join(map(str, self.shape))}"
        levels = f"{self.levels} levels{', the end among them' * self.ends}"
        if self.ends and self.shape[0] > 1:
            kind = values[self.support]
            return f"at most {self.shape[1]} frames of {self.shape[0] - 1} {kind}"
        return f"{size} with {values.get(self.support, levels) if not self.ends else levels}"

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, as kept in checkpoints."""
        plain = {**vars(self), "shape": list(self.shape), "medium": self.medium and medium_to_dict(self.medium)}
        labels, context = plain.pop("labels"), plain.pop("context")
        plain |= {"labels": list(labels)} if labels else {}
        if not self.ends:  # as checkpoints were before there were such data
            del plain["ends"]
        return plain | ({"context": [list(pair) for pair in context]} if context else {})

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "DataSpec":
        """Inverse of `to_dict`; `ValueError` where that has not written it."""
        medium = plain.get("medium")
        parts = {"shape": tuple(plain["shape"]), "medium": medium and medium_from_dict(medium)}
        parts |= {"labels": tuple(plain.get("labels", ())), "context": tuple(map(tuple, plain.get("context", ())))}
        spec = cls(**{**plain, **parts})
        sizes = [spec.classes, spec.features, *(n for n in (spec.levels, spec.quantised) if n is not None)]
        if not all(isinstance(n, int) and n >= 0 for n in sizes):
            raise ValueError(f"data: {spec.levels} levels and {spec.classes} classes")
        if not spec.shape or not all(isinstance(n, int) and n > 0 for n in spec.shape):
            raise ValueError(f"data: a shape of {spec.shape}")
        if spec.labels and (len({*map(str, spec.labels)}) != spec.classes or len(spec.labels) != spec.classes):
            raise ValueError(f"data: {len(spec.labels)} labels of {spec.classes} classes")
        if not all(type(label) in (int, str) for label in spec.labels):
            raise ValueError("data: labels that are neither whole numbers nor text")
        can_end = spec.levels in (2, None) if spec.shape[0] > 1 else (spec.levels or 0) >= 2
        if spec.ends and (len(spec.shape) != 2 or not can_end or spec.quantised):
            raise ValueError(f"data: examples {spec.shape} of {spec.levels} levels that end")
        for pair in spec.context:
            if len(pair) != 2 or not all(type(v) in (int, float) and isfinite(v) for v in pair) or pair[1] < 0:
                raise ValueError("data: a context without a mean and a standard deviation of each number")
        return spec


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
        embedded: K + 1 where a value is encoded as one whole number 1..K, to be looked up; 0 stands for no value yet.
            0 where values are encoded as numbers to compute with.
        features: number of features aligned with the sites that a model may condition on.
        given: so many values come first, which are given and read first in every order.
        context: number of numbers given with an example that a model may condition on.
        mixed: values are columns of several kinds, which have no levels in common.
    """

    data: tuple[int, ...]
    inputs: int = 1
    params: int = 1
    classes: int = 0
    joint: bool = False
    embedded: int = 0
    features: int = 0
    given: int = 0
    context: int = 0
    mixed: bool = False

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
