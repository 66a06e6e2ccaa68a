"""The compiled engine: the sampler's step at a pixel as machine code, with the draw inside.

While an image is read, all memory of a model is in tensors of fixed shapes (`nn/streaming.py`): so the step is a pure
function of tensors, which it changes in place. What is done once a row stays as it is in `loops.py`.
"""

import time
from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.core.condition import rows_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Engine
from ar_lightning.core.notice import notice
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import group_of, sample_raster
from ar_lightning.density.machine_code import SECONDS, has_compiler, machine_code
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.streaming import Walk, mapped, streaming

__all__ = ["choose_loop", "sample_compiled"]

PLAIN = (bool, int, float, str, tuple, list)  # settings of modules; others have no lasting form


def choose_loop(engine: Engine, model: Any, examples: int) -> "Loop | None":
    """Return the loop that draws so many examples, None for one without compiled code.

    Raises:
        UserError: `compiled`, and the model or the machine cannot.
    """
    if engine == "eager" or (engine == "auto" and not model.exports):
        return None
    why = None
    if not model.exports:
        why = f"{type(model).__name__} has no step that can be compiled"
    elif next(model.parameters()).device.type != "cpu":
        why = "it is for the CPU"
    elif not has_compiler():
        why = "this machine has no C++ compiler"
    if why and engine == "compiled":
        raise UserError(f"--engine compiled: {why}; take --engine auto")
    return None if why else Loop(engine == "compiled", examples)


class Loop:
    """A loop over the pixels that is compiled if it is in the cache, or if that takes less time than it saves.

    To see how long the others take, a first batch of the `examples` is drawn without, unless it `always` compiles.
    """

    def __init__(self, always: bool, examples: int) -> None:
        self.left, self.always, self.make, self.size = examples, always, always, 1
        self.able = True

    def __call__(self, model: Any, draw: Draw, x: Tensor, cond: Any = None) -> Tensor:
        """Fill `x` (B, C, H, W), as `sample_raster` does."""
        self.left -= len(x)
        self.size = max(self.size, 1 << (len(x) - 1).bit_length())  # one for all batches: the last may be smaller
        filled = None
        if self.able:
            try:
                filled = sample_compiled(model, draw, x, cond, self.size, self.make)
            except UserError as error:  # of the compiler, before anything is drawn
                if self.always:
                    raise
                notice(f"{error}; drawing without")
                self.able = False
        if filled is None:
            start = time.perf_counter()
            filled = sample_raster(model, draw, x, cond)
            self.make = (time.perf_counter() - start) / len(x) * self.left > SECONDS
        return filled


def _settings(module: nn.Module) -> tuple[str, list[tuple[str, str]]]:
    plain = {k: v for k, v in vars(module).items() if k[0] != "_" and isinstance(v, PLAIN)}
    return str(type(module)), sorted((k, repr(v)) for k, v in plain.items())


class PixelStep(nn.Module):
    """A pixel as a function of tensors: it reads the pixel to the left, draws the values of this one and moves on.

    The tensors are the column `()`, the pixel to the left `(B, C * E)`, the values of the row `(W, C, B)`, which are
    filled; uniforms `(W, C, B, noise)`, known values and their mask `(W, C, B)`, and then the `features` of the row
    `(W, B, n)` and the memory of the modules.
    """

    def __init__(self, model: RasterModel, draw: Draw, walk: Walk) -> None:
        super().__init__()
        self.held = (model, draw.likelihood)  # not as its own modules: their weights are in the memory
        self.walk, self.temperature, self.dtype = walk, draw.temperature, draw.dtype
        self.maps, self.one = 0, False  # maps of features of a row: how many, and whether the model gives no list
        for m in walk.modules:
            m.past = {name: mapped(value, Tensor.contiguous) for name, value in (m.past or {}).items()}
        self.memory = [(m, m.past) for m in walk.modules if m.past]
        self.tensors: list[Tensor] = []
        for _, past in self.memory:
            for value in past.values():
                mapped(value, self._found)

    def _found(self, t: Tensor) -> Tensor:
        self.tensors.append(t)
        return t

    @property
    def architecture(self) -> str:
        """What it does, but for the shapes of its tensors: each setting of a module, whether that prints it or not."""
        model, likelihood = self.held
        settings = [(name, *_settings(m)) for module in self.held for name, m in module.named_modules()]
        constants = [(name, t.tolist()) for name, t in likelihood.named_buffers()]  # which are no inputs
        return repr((str(model), str(likelihood), model.shapes, settings, constants, self.temperature, self.dtype))

    def maps_of(self, features: Any) -> list[Tensor]:
        """Return the features of a row as `(W, B, n)` each."""
        self.one = isinstance(features, Tensor)
        maps = [features] if self.one else features
        self.maps = len(maps)
        return [t[:, :, 0].permute(2, 0, 1) for t in maps]

    def forward(self, *tensors: Tensor) -> Tensor:
        """Draw a pixel and return it as the next one reads it, `(B, C * E)`."""
        column, left, values, noise, known, mask, *rest = tensors
        at, memory = column.view(1), iter(rest[self.maps :])
        noise, known, mask, *features = (t.index_select(0, at)[0] for t in (noise, known, mask, *rest[: self.maps]))
        for m, past in self.memory:
            m.past = {name: mapped(value, lambda _: next(memory)) for name, value in past.items()}
        try:
            drawn, read = self.pixel(column, left, features[0] if self.one else features, noise, known, mask)
        finally:
            for m, past in self.memory:
                m.past = past
        values.index_copy_(0, at, drawn[None])
        left.copy_(read)
        column.add_(1)
        return read

    def pixel(
        self, column: Tensor, left: Tensor, features: Any, noise: Tensor, known: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the values of a pixel `(C, B)`, and the same encoded `(B, C * E)`."""
        (model, likelihood), groups, channels = self.held, self.walk.groups, len(noise)
        self.walk.move(column, 0)
        pixel = model.pixel(left, features, None)
        earlier = torch.zeros_like(left.chunk(groups, 1)[0]) if groups > 1 else None
        values, read = [], []
        for g in range(groups):
            self.walk.move(column, g)
            params = model.colour(earlier, group_of(pixel, g, groups), None)
            group: list[Tensor] = []
            for c in range(g * channels // groups, (g + 1) * channels // groups):
                before = torch.stack(group, 1) if group else None
                value = likelihood.sample(params, noise[c], self.temperature, before)
                group.append(torch.where(mask[c], known[c], value.to(known.dtype)))
            earlier = likelihood.encode(torch.stack(group, 1)[..., None])[..., 0].to(self.dtype)
            values += group
            read.append(earlier)
        return torch.stack(values), torch.cat(read, 1)


def sample_compiled(
    model: RasterModel, draw: Draw, x: Tensor, cond: Any, size: int, make: bool = True
) -> Tensor | None:  # fmt: skip
    """Fill images `x` (B, C, H, W) as `sample_raster` does, in a batch of `size` that is filled up.

    Return None if the step is not in the cache, and is not to be made.
    """
    n, (channels, height, width) = len(x), x.shape[1:]
    rows = torch.arange(size).clamp(max=n - 1)
    cond = None if cond is None else rows_of(cond, rows)

    def by_pixel(t: Tensor) -> Tensor:  # (B, D, ...) to (H, W, C, B, ...)
        return t[rows].unflatten(1, (channels, height, width)).movedim((2, 3, 1), (0, 1, 2))

    nothing = torch.zeros(n, channels * height * width, dtype=torch.bool)
    mask = nothing if draw.mask is None or draw.known is None else draw.mask
    known = x.flatten(1) if draw.known is None else draw.known.to(x.dtype)
    given = [by_pixel(t) for t in (draw.noise, known, mask)]
    above = torch.zeros_like(draw.encode(x[rows][:, :, :1]))
    values = torch.empty(width, channels, size, dtype=x.dtype)
    state = [torch.zeros((), dtype=torch.long), torch.zeros_like(above[:, :, 0, 0]), values]
    row = [torch.empty_like(t[0], memory_format=torch.contiguous_format) for t in given]
    with streaming(model):
        walk = Walk(model, size, width, model.shapes.groups)
        step = PixelStep(model, draw, walk)
        code = None
        for i in range(height):
            walk.start_row(i)
            maps = step.maps_of(model.row(above, cond))
            if code is None:
                features = [torch.empty(t.shape, dtype=t.dtype) for t in maps]
                tensors = [*state, *row, *features, *step.tensors]
                code = machine_code(step, tensors, step.architecture, make)
                if code is None:
                    return None
            for there, here in zip([*row, *features], [*(t[i] for t in given), *maps], strict=True):
                there.copy_(here)
            for t in state:
                t.zero_()
            for _ in range(width):
                code(tensors)
            drawn = values.permute(2, 1, 0)  # (B, C, W)
            x[:, :, i] = drawn[:n]
            above = draw.encode(drawn[:, :, None])
            if draw.progress:
                draw.progress(n * channels * width)
    return x
