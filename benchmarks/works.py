"""What is timed: models and sizes, the straightforward reference for each, and the least work that it takes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.config.build import build_density
from ar_lightning.config.registry import MODELS
from ar_lightning.config.schema import schema_of
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.nn.conv import CausalConv
from ar_lightning.nn.given import GivenBias
from ar_lightning.nn.masked import reads
from benchmarks.plain import (
    PlainDiagonalBiLSTM,
    PlainGatedPixelCNN,
    PlainMADE,
    PlainNADE,
    PlainPixelCNN,
    PlainRowLSTM,
    PlainWaveNet,
)

__all__ = ["WORKS", "Work", "density_of", "multiply_adds"]

Plain = Callable[[Density], nn.Module]


@dataclass(frozen=True)
class Work:
    """A model of a size, on random examples of a size.

    Args:
        title: what a person calls it.
        model: its settings; others by default.
        shape: `(C, *sites)` of an example.
        levels: of a value.
        batch: examples of a training step.
        plain: makes the straightforward reference; None where there is none but our own forward pass.
        trains: the ratio of training steps that is aimed at.
        samples: the ratio of sampling that is aimed at, if any, by number of samples.
        gates: sigmoids and tanhs of a forward pass, of one example.
        compiled: train as `trainer.compile=true` does.
    """

    title: str
    model: dict[str, Any]
    shape: tuple[int, ...] = (1, 28, 28)
    levels: int = 2
    batch: int = 16
    plain: Plain | None = None
    trains: float | None = None
    samples: dict[int, float | None] = field(default_factory=dict)
    gates: int = 0
    compiled: bool = False

    def examples(self, n: int) -> Tensor:
        """Return random examples `(n, *shape)`."""
        return torch.randint(self.levels, (n, *self.shape))

    def small(self) -> "Work":
        """Return the same on small examples, for tests."""
        sites = (64,) if len(self.shape) == 2 else (7, 6)
        smaller = {k: min(v, 40) for k, v in self.model.items() if k == "hidden"}
        return replace(self, model={**self.model, **smaller}, shape=(self.shape[0], *sites))

    def at_side(self, side: int) -> "Work":
        """Return the same on images of another side."""
        return replace(self, shape=(self.shape[0], side, side))


PIXELS = 28 * 28
MANY = {16: 100.0, 100: 100.0}

WORKS = {
    "nade": Work(
        "NADE, 500 units", {"name": "nade"}, batch=100, plain=PlainNADE, trains=5, gates=PIXELS * 500
    ),
    "nade_compiled": Work(
        "NADE, 500 units, compiled", {"name": "nade"}, batch=100, plain=PlainNADE, trains=5, gates=PIXELS * 500,
        compiled=True,
    ),
    "made": Work(
        "MADE, 500, 500 units", {"name": "made", "hidden": 500, "layers": 2}, batch=100, plain=PlainMADE,
        samples={100: 50},
    ),
    "made_8000": Work(
        "MADE, 8000 units", {"name": "made", "hidden": 8000, "layers": 1}, batch=100, plain=PlainMADE, trains=1.5
    ),
    "row_lstm": Work(
        "Row LSTM, 7 x 16", {"name": "row_lstm", "hidden": 16, "layers": 7}, plain=PlainRowLSTM, trains=2, samples=MANY,
        gates=PIXELS * 7 * 16 * 5,
    ),
    "diagonal_bilstm": Work(
        "Diagonal BiLSTM, 7 x 16", {"name": "diagonal_bilstm", "hidden": 16, "layers": 7}, plain=PlainDiagonalBiLSTM,
        trains=4.5, samples=MANY, gates=PIXELS * 7 * 2 * 16 * 5,
    ),
    "pixelcnn": Work(
        "PixelCNN, 15 x 64", {"name": "pixelcnn", "hidden": 64, "layers": 15}, plain=PlainPixelCNN, samples=MANY
    ),
    "gated_pixelcnn": Work(
        "Gated PixelCNN, 7 x 32", {"name": "gated_pixelcnn"}, plain=PlainGatedPixelCNN, trains=1.3, samples=MANY,
        gates=PIXELS * 7 * 2 * 2 * 32,
    ),
    "pixelcnnpp": Work(
        "PixelCNN++, 32 filters, 32x32x3", {"name": "pixelcnnpp", "filters": 32}, shape=(3, 32, 32), levels=256,
        batch=4, samples=MANY,
    ),
    "pixel_transformer": Work(
        "Pixel transformer, 4 x 64", {"name": "pixel_transformer", "width": 64, "layers": 4}, samples={16: None}
    ),
    "wavenet": Work(
        "WaveNet, 3 x 10 layers of 32, a second at 8 kHz",
        {"name": "wavenet", "channels": 32, "skip": 256, "layers": 10, "stacks": 3}, shape=(1, 8000), levels=256,
        batch=1, plain=PlainWaveNet, trains=1.6, gates=8000 * 30 * 2 * 32,
    ),
}  # fmt: skip


def density_of(work: Work) -> Density:
    """Build the density of a work; settings that are not given have their defaults."""
    name = work.model["name"]
    defaults = {f.name: f.default for f in schema_of(MODELS[name]).fields.values()}
    config = {"model": {**defaults, **work.model}, "likelihood": {"name": "auto"}}
    return build_density(config, DataSpec(work.shape, work.levels))


def multiply_adds(density: Density) -> int:
    """Return the multiply-adds of one example's likelihood: one for each use of a weight that is not masked.

    NADE uses each weight once, MADE each that its mask leaves, PixelCNN++ those of a coarser level at a quarter of the
    pixels, and the others theirs at every site. Levels that are looked up cost none.
    """
    model: Any = density.model
    name, sites = type(model).__name__, density.spec.dims // density.spec.shape[0]
    if name == "MADE":
        degrees = model.unit_degrees()
        return sum(int(reads(above, below).sum()) for above, below in zip(degrees[1:], degrees, strict=False))
    if name == "NADE":
        return weights_of(model)
    adds, level = sites * weights_of(model), getattr(model, "level", None)
    while level is not None and level.coarser is not None:
        adds -= (sites - sites // 4) * weights_of(level.coarser)
        level, sites = level.coarser, sites // 4
    return adds


def weights_of(module: nn.Module) -> int:
    """Return the number of weights of matrices and kernels, without those that are masked."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding | GivenBias)}
    used = [p for p in module.parameters() if p.ndim > 1 and p[0].numel() > 1 and id(p) not in tables]
    masks = [m.mask for m in module.modules() if isinstance(m, CausalConv) and m.mask is not None]
    return sum(int(p.count_nonzero()) for p in used) - sum(int((mask == 0).sum()) for mask in masks)
