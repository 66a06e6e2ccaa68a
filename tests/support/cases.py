"""Registered models with the likelihoods they can take, on tiny data: what the invariant tests run over.

All of them together would be hundreds: a few are chosen in which every two of model, likelihood, data and variant that
can meet do meet. A new model or likelihood is covered from the moment it is registered; `SMALL` only makes some faster.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import nn

from ar_lightning.config.build import build_density
from ar_lightning.config.checks import check_likelihood, check_model, check_pair
from ar_lightning.config.registry import LIKELIHOODS, MODELS, find
from ar_lightning.config.schema import Schema, schema_of
from ar_lightning.core.condition import Condition, Given
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Column, MixedTable, Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density

# Sigmoids: through ReLUs a large real value makes a larger one likely, which no grid of the tests would reach.
SMALL: dict[str, dict[str, Any]] = {
    "nade": {"hidden": 7, "block": 4},
    "rnade": {"hidden": 7, "activation": "sigmoid"},
    "made": {"hidden": 40, "activation": "sigmoid"},
    "deep_nade": {"hidden": 10, "activation": "sigmoid"},
    "row_lstm": {"hidden": 6, "layers": 2, "head": 24},
    "diagonal_bilstm": {"hidden": 6, "layers": 2, "head": 24},
    "pixelcnn": {"hidden": 12, "layers": 2, "head": 24},
    "gated_pixelcnn": {"hidden": 18, "layers": 2, "head": 24},
    "pixelcnnpp": {"filters": 6, "resnets": 1, "downsamplings": 2},
    "pixel_transformer": {"width": 8, "layers": 2, "heads": 2},
    "transformer": {"width": 8, "layers": 2, "heads": 2},
    "any_order_transformer": {"width": 8, "layers": 2, "heads": 2},
    "rnn": {"hidden": 6, "layers": 2, "embedding": 5},
    "rnn_nade": {"hidden": 6, "layers": 2, "heads": 2, "frame_hidden": 7},
    "wavenet": {"channels": 6, "skip": 8, "layers": 5, "stacks": 2},
}
CLASSES = 3
COLUMNS = (
    Column("sex", "category", ("f", "m", "x")),
    Column("age", "integer", offset=2.0, scale=3.0, lowest=0.0, spikes=(4.0,), knots=(0.0, 2.0, 9.0)),
    Column("gain", "real", offset=1.0, scale=2.0, spikes=(0.0,)),
    Column("pays", "category", ("no", "yes")),
)
# Small enough to enumerate: grey and colour, binary and on levels; or real, or columns of several kinds.
SPECS = {
    "binary": DataSpec((1, 2, 3), 2, CLASSES),
    "levels": DataSpec((1, 2, 2), 3, CLASSES),
    "binary colours": DataSpec((3, 1, 3), 2, CLASSES),
    "colours": DataSpec((3, 2, 1), 3, CLASSES),
    "real": DataSpec((1, 2, 2), None, CLASSES),
    "real colours": DataSpec((3, 1, 2), None, CLASSES),
    "mixed": DataSpec((1, 4), None, CLASSES, medium=MixedTable(COLUMNS)),
}
ENDS = DataSpec((1, 4), 3, CLASSES, ends=True)  # sequences of up to four of two symbols, or three and an end
FRAMES = DataSpec((3, 3), 2, CLASSES, medium=Roll(4.0, 60), ends=True)  # up to three frames of two channels, and ends
REAL_FRAMES = DataSpec((3, 3), None, CLASSES, medium=Roll(4.0), ends=True)  # the same, of real channels
BINARY = SPECS["binary"]
CONTEXT = ((30.0, 20.0), (-1.0, 0.5), (7.0, 0.0))  # the last number never varied
# A vector is given too, with a label or without.
CONTEXT_SPECS = [
    replace(SPECS["levels"], classes=0, context=CONTEXT),
    replace(SPECS["binary colours"], context=CONTEXT),
    replace(SPECS["real"], context=CONTEXT),
]


def small(model: str) -> list[str]:
    """The same as settings of the command line."""
    return [f"model.{key}={value}" for key, value in SMALL.get(model, {}).items()]


@dataclass(frozen=True)
class Case:
    """One model, with one likelihood, on one kind of data."""

    model: str
    likelihood: str
    spec: DataSpec
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    encoding: str = "auto"

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}" for k, v in self.options.items())
        encoding = "" if self.encoding == "auto" else self.encoding
        shape = "x".join(map(str, self.spec.shape)) + "-context" * bool(self.spec.context)
        return "-".join(filter(None, (self.model, self.likelihood, encoding, shape, options)))

    def on(self, spec: DataSpec) -> "Case":
        """The same on data of another shape."""
        return Case(self.model, self.likelihood, spec, self.options, self.encoding)

    def build(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> Density:
        """The density in eval mode, its weights large enough for every dependence to show."""
        torch.manual_seed(seed)
        options = defaults(schema_of(MODELS[self.model])) | SMALL.get(self.model, {}) | self.options
        likelihood = defaults(schema_of(LIKELIHOODS[self.likelihood]))
        if "floor" in likelihood:
            likelihood |= {"components": 3, "floor": 0.2}  # densities that a grid resolves
        if "features" in likelihood:
            likelihood |= {"embedding": 4, "features": 5}
        if "encoding" in likelihood:
            likelihood["encoding"] = self.encoding
        config = {
            "model": {"name": self.model, **options},
            "likelihood": {"name": self.likelihood, **likelihood},
        }
        density = build_density(config, self.spec)
        for module in density.modules():
            for name, p in module.named_parameters(recurse=False):
                # Deep networks of larger kernels would only saturate.
                is_kernel = name == "weight" and isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d))
                p.data += torch.randn_like(p) * (p[0].numel() ** -0.5 if is_kernel else 0.5)
        density.to(dtype).eval()
        if density.model.initialises:
            given = density.condition_of(self.labels(64))
            density.model.initialise(density.encode(random_values(self.spec, 64, seed=9)), given)
        return density

    @property
    def data(self) -> str:
        """Its kind of data."""
        return f"{self.spec.shape} of {self.spec.levels} levels"

    @property
    def variant(self) -> str:
        """Its options."""
        return str(self.options)

    @property
    def conditional(self) -> bool:
        return bool(self.options.get("conditional"))

    @property
    def members(self) -> int:
        """Number of densities that are averaged."""
        return int(self.options.get("masks", self.options.get("ensemble", 1)))

    def labels(self, n: int) -> Given:
        """What n examples of a conditional model are given, labels or a condition; None for an unconditional one."""
        labels = torch.arange(n) % CLASSES if self.conditional and self.spec.classes else None
        return Condition(labels, None, random_context(self.spec, n)) if self.spec.context else labels


def defaults(schema: Schema) -> dict[str, Any]:
    return {f.name: f.default for f in schema.fields.values()}


def variants(model: str) -> list[dict[str, Any]]:
    """Options that change what a model is: a random order, conditioning on labels, several members, and so on."""
    fields = schema_of(MODELS[model]).fields
    order = {"order": "random"} if "order" in fields else {}
    plain = {"order": "raster"} if "order" in fields else {}
    more = {
        "conditional": [{"conditional": True, **order}],
        "direct": [{"direct": True}],
        "kernel": [{"kernel": 5}],
        "mlp": [{"mlp": "swiglu"}],
        "norm": [{"rotary": False, "norm": "layer", "bias": False}],
        "cell": [{"cell": "gru", "position": True}, {"cell": "rnn"}],
        "frame": [
            {"cell": "transformer"},
            {"frame": "made"},
            {"cell": "transformer", "frame": "made", "frame_layers": 2},
        ],
        "masks": [{"masks": 3}, {"masks": 2, "vary_order": True}],
        "ensemble": [{"ensemble": 3}],
    }
    others = [options for key, several in more.items() if key in fields for options in several]
    taken = [{key: value for key, value in options.items() if key in fields} for options in others]
    return [plain, *([order] if order else []), *taken]


def fits(model: str, likelihood: str, spec: DataSpec) -> bool:
    """Whether the checks of the config let them go together."""
    try:
        check_likelihood(likelihood, spec, str(spec))
        check_model({"name": model, "conditional": bool(spec.context)}, spec, str(spec))
        check_pair(model, likelihood, spec, str(spec))
    except UserError:
        return False
    return True


def possible(specs: Iterable[DataSpec]) -> list[Case]:
    """Every model with every likelihood on all of these data, in each of its variants that reads what is given."""
    return [
        Case(model, likelihood, spec, options)
        for model in MODELS
        for likelihood in LIKELIHOODS
        for spec in specs
        if fits(model, likelihood, spec)
        for options in variants(model)
        if options.get("conditional") or not spec.context
    ]


def from_left_to_right(case: Case) -> Case | None:
    """The same without an order of its own, as data need that end where they end; None where there is none."""
    if case.options.get("vary_order"):
        return None
    order = {"order": "raster"} if "order" in schema_of(MODELS[case.model]).fields else {}
    return replace(case, options=case.options | order)


Feature = tuple[Hashable, ...]


def pairs(case: Case) -> set[Feature]:
    """Return each two of its model, likelihood, data and variant, and its model with colours in turn or jointly."""
    model, likelihood, data, variant = case.model, case.likelihood, case.data, case.variant
    return {*combinations((model, likelihood, data, variant), 2), (model, joint(likelihood, case.spec))}


def each_statistic(case: Case) -> set[Feature]:
    """Return its model, its variant and its likelihood on its data: a few cases that have all of these."""
    return {(case.model,), (case.variant,), (case.likelihood, case.data)}


def each_network(case: Case) -> set[Feature]:
    """Return its model in its variant, and on grey or colour: what a network reads depends on those."""
    return {(case.model, case.variant), *each_picture(case)}


def each_picture(case: Case) -> set[Feature]:
    """Return its model on grey or colour."""
    return {(case.model, case.spec.shape[0])}


@cache
def joint(likelihood: str, spec: DataSpec) -> bool:
    """Return whether the likelihood models the colours of a pixel jointly."""
    options = defaults(schema_of(LIKELIHOODS[likelihood]))
    return bool(find("likelihood", likelihood)(spec, **options).joint)


def cover(cases: list[Case], features: Callable[[Case], set[Feature]]) -> list[Case]:
    """Choose a few cases that together have every feature of all the cases, greedily and always the same ones."""
    left = {feature for case in cases for feature in features(case)}
    having = {case: features(case) for case in cases}
    chosen = []
    while left:
        best = max(having, key=lambda case: len(having[case] & left))
        left -= having.pop(best)
        chosen.append(best)
    return sorted(chosen, key=cases.index)


def each(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Run a test on each of the cases: the fast tests on a few that have every model, likelihood, data and variant."""
    marked = [pytest.param(case, id=str(case), marks=[] if case in FAST else pytest.mark.slow) for case in cases]
    return pytest.mark.parametrize("case", marked)


POSSIBLE = possible(SPECS.values())
EVERY_CASE = cover(POSSIBLE, pairs)
CASES = [case for case in EVERY_CASE if case.spec.levels]
REAL_CASES = [case for case in EVERY_CASE if case.spec.support == "real"]
MIXED_CASES = [case for case in EVERY_CASE if case.spec.support == "mixed"]
ENDS_CASES = cover(
    list(filter(None, map(from_left_to_right, possible([ENDS, FRAMES])))),
    lambda case: {(case.model, case.variant), (case.model, case.data)},
)
REAL_ENDS_CASES = cover(list(filter(None, map(from_left_to_right, possible([REAL_FRAMES])))), each_statistic)
# Large enough for every row, kernel and colour to matter; too large to enumerate.
LARGE = [DataSpec((1, 4, 4), 2, CLASSES), DataSpec((3, 3, 4), 2, CLASSES)]
LARGE_CASES = cover(possible(LARGE), each_network)
CONTEXT_CASES = cover(possible(CONTEXT_SPECS), lambda case: {*each_picture(case), (case.likelihood, case.data)})
FAST = {
    *cover(EVERY_CASE, each_statistic), *cover(LARGE_CASES, each_picture),
    *cover(CONTEXT_CASES, lambda case: {(case.model,)}),
}  # fmt: skip


def every_value(spec: DataSpec) -> torch.Tensor:
    """All data there are: `(K^D, *shape)`."""
    return torch.cartesian_prod(*[torch.arange(spec.levels or 0)] * spec.dims).view(-1, *spec.shape)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_values(spec: DataSpec, n: int, seed: int = 0) -> torch.Tensor:
    if isinstance(spec.medium, MixedTable):
        return torch.stack([random_cells(column, n, seed + d) for d, column in enumerate(spec.medium.columns)], 1)[
            :, None
        ]
    if spec.levels is None:
        return torch.randn(n, *spec.shape, generator=seeded(seed), dtype=torch.float64)
    return torch.randint(spec.levels, (n, *spec.shape), generator=seeded(seed))


def random_context(spec: DataSpec, n: int, seed: int = 0) -> torch.Tensor:
    """Return vectors `(n, F)` in the units of the data."""
    mean, std = torch.tensor(spec.context, dtype=torch.float64).T
    return mean + std * torch.randn(n, len(mean), generator=seeded(seed), dtype=torch.float64)


def random_cells(column: Column, n: int, seed: int) -> torch.Tensor:
    """Return values `(n,)` of a column of a mixed table, as they are stored; a third of numbers are spikes."""
    if column.kind == "category":
        return torch.randint(len(column.levels), (n,), generator=seeded(seed)).double()
    z = torch.randn(n, generator=seeded(seed), dtype=torch.float64)
    spike = (torch.tensor(column.spikes[0], dtype=torch.float64) - column.offset) / column.unit
    x = (z * column.scale).abs().round() - column.offset if column.is_whole else z
    return torch.where(torch.arange(n) % 3 == 0, spike, x)


def changed_value(spec: DataSpec, x: torch.Tensor, j: int, step: int) -> torch.Tensor:
    """Return data in which value j of each example `(B, C, *sites)` is another one; there are several ways, by step."""
    other = x.clone()
    values = other.view(len(x), -1)
    levels = spec.levels
    if isinstance(spec.medium, MixedTable):
        levels = len(spec.medium.columns[j].levels)
    values[:, j] = (values[:, j] + step) % levels if levels else values[:, j] + step
    return other
