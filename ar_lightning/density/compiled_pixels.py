"""Images, a pixel at a time, by a step that is compiled. What is done once a row stays as it is in `loops.py`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import rows_of
from ar_lightning.density.compiled_step import CompiledStep
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import group_of
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.streaming import Walk, streaming

__all__ = ["sample_pixels"]


class PixelStep(CompiledStep):
    """A pixel as a function of tensors: it reads the pixel to the left, draws the values of this one and moves on.

    The tensors are the column `()`, the pixel to the left `(B, C * E)`, the values of the row `(W, C, B)`, which are
    filled; uniforms `(W, C, B, noise)`, known values and their mask `(W, C, B)`, and then the `features` of the row
    `(W, B, n)` and the memory of the modules.
    """

    def __init__(self, model: RasterModel, draw: Draw, walk: Walk) -> None:
        super().__init__(model, draw, walk.modules)
        self.walk = walk
        self.maps, self.one = 0, False  # maps of features of a row: how many, and whether the model gives no list

    def maps_of(self, features: Any) -> list[Tensor]:
        """Return the features of a row as `(W, B, n)` each."""
        self.one = isinstance(features, Tensor)
        maps = [features] if self.one else features
        self.maps = len(maps)
        return [t[:, :, 0].permute(2, 0, 1) for t in maps]

    def forward(self, *tensors: Tensor) -> Tensor:
        """Draw a pixel and return it as the next one reads it, `(B, C * E)`."""
        column, left, values, noise, known, mask, *rest = tensors
        at = column.view(1)
        noise, known, mask, *features = (t.index_select(0, at)[0] for t in (noise, known, mask, *rest[: self.maps]))
        with self.remembering(iter(rest[self.maps :])):
            drawn, read = self.pixel(column, left, features[0] if self.one else features, noise, known, mask)
        values.index_copy_(0, at, drawn[None])
        left.copy_(read)
        column.add_(1)
        return read

    def pixel(
        self, column: Tensor, left: Tensor, features: Any, noise: Tensor, known: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the values of a pixel `(C, B)`, and the same encoded `(B, C * E)`."""
        (model, _), groups = self.held, self.walk.groups
        self.walk.move(column, 0)
        pixel = model.pixel(left, features, None)
        earlier = torch.zeros_like(left.chunk(groups, 1)[0]) if groups > 1 else None
        values, read = [], []
        of_groups = (t.chunk(groups) for t in (noise, known, mask))
        for g, given in enumerate(zip(*of_groups, strict=True)):
            self.walk.move(column, g)
            drawn, earlier = self.choose(model.colour(earlier, group_of(pixel, g, groups), None), *given)
            values.append(drawn)
            read.append(earlier)
        return torch.cat(values), torch.cat(read, 1)


def sample_pixels(
    model: RasterModel, draw: Draw, x: Tensor, cond: Any, size: int, compiled: Callable[..., Any]
) -> Tensor | None:
    """Fill images `x` (B, C, H, W) as `sample_raster` does, in a batch of `size` that is filled up.

    `compiled` returns the code of a step for its tensors; return None if there is none.
    """
    n, (channels, height, width) = len(x), x.shape[1:]
    rows = torch.arange(size).clamp(max=n - 1)
    cond = None if cond is None else rows_of(cond, rows)

    def by_pixel(t: Tensor) -> Tensor:  # (B, D, ...) to (H, W, C, B, ...)
        return t[rows].unflatten(1, (channels, height, width)).movedim((2, 3, 1), (0, 1, 2))

    given = [by_pixel(t) for t in draw.given(x)]
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
                code = compiled(step, tensors)
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
