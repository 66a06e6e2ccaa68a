"""The compiled engine: the sampler's step at a pixel or a token as machine code, or a CUDA graph, with the draw inside.

While a sample is drawn, all memory of a model is in tensors of fixed shapes (`nn/streaming.py`): so the step is a
function of tensors alone, some of which it changes in place.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Engine
from ar_lightning.core.notice import notice
from ar_lightning.density.compiled_pixels import fill_pixels
from ar_lightning.density.compiled_step import CompiledStep
from ar_lightning.density.compiled_tokens import fill_tokens
from ar_lightning.density.cuda_graph import captured
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import loop_of, sample_orderless, sample_raster
from ar_lightning.density.machine_code import SECONDS, Code, any_code, has_compiler, machine_code
from ar_lightning.models.base import RasterModel, SequenceModel

__all__ = ["choose_loop", "why_not_compiled"]


def choose_loop(engine: Engine, density: Any, examples: int) -> "Loop | None":
    """Return the loop that draws so many examples, None for one without compiled code.

    Raises:
        UserError: `compiled`, and the density or the machine cannot.
    """
    if engine == "eager" or (engine == "auto" and _device_of(density) != "cpu"):
        return None
    why = why_not_compiled(density)
    if why and engine == "compiled":
        raise UserError(f"--engine compiled: {why}; take --engine auto")
    return None if why else Loop(engine == "compiled", examples)


def why_not_compiled(density: Any) -> str | None:
    """Return why there can be no compiled code of a density on this machine, None if there can."""
    model, spec = density.model, density.spec
    same = spec.end is None and spec.support != "mixed"  # all examples and all tokens take the same step
    if not (model.exports and same):
        return f"{type(model).__name__} has no step that can be compiled{' for such data' * model.exports}"
    if (device := _device_of(density)) == "cuda" and isinstance(model, RasterModel):
        return None
    if device != "cpu":
        return f"on {device}, it is for models of images alone" if device == "cuda" else f"it is not for {device}"
    return None if has_compiler() else "this machine has no C++ compiler"


def _device_of(density: Any) -> str:
    kind: str = density.device.type
    return kind


class Loop:
    """A loop over the sites that is compiled if it is in the cache, or if that takes less time than it saves.

    To see how long the others take, a first batch of the `examples` is drawn without, unless it `always` compiles.
    """

    def __init__(self, always: bool, examples: int) -> None:
        self.left, self.always, self.make, self.size = examples, always, always, 1
        self.able, self.there = True, always or any_code()

    def __call__(self, model: Any, draw: Draw, x: Tensor, cond: Any = None, orders: Tensor | None = None) -> Tensor:
        """Fill `x` (B, C, *sites), as `sample_raster`, `sample_sequence` or, in `orders`, `sample_orderless` does."""
        plain = loop_of(model) if orders is None else partial(sample_orderless, orders=orders)
        self.left -= len(x)
        self.size = max(self.size, 1 << (len(x) - 1).bit_length())  # one for all batches: the last may be smaller
        start, self.found = time.perf_counter(), False
        if not (self.there or self.make):  # to look for code takes as long as to begin
            filled = plain(model, draw, x, cond)
        elif isinstance(model, SequenceModel):
            rest = partial(fill_tokens, size=self.size, compiled=self.code)
            filled = plain(model, draw, x, cond, rest=rest)
        else:
            drawn = fill_pixels(model, draw, x, cond, self.size, self.code)
            filled = sample_raster(model, draw, x, cond) if drawn is None else drawn
        self.there = self.found
        if not self.found:
            self.make = (time.perf_counter() - start) / len(x) * self.left > SECONDS
        return filled

    def code(self, step: CompiledStep, tensors: Sequence[Tensor], longest: int | None = None) -> Code | None:
        """Return the code of a step, None if it is neither in the cache nor to be made, or cannot be."""
        if not self.able:
            return None
        if tensors[0].is_cuda:
            self.found = True
            return captured(step, tensors)
        try:
            code = machine_code(step, tensors, step.architecture, self.make, longest)
        except UserError as error:
            if self.always:
                raise
            notice(f"{error}; drawing without")
            self.able, code = False, None
        self.found = code is not None
        return code
