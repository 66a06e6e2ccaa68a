"""Images, a pixel at a time, by a step that is compiled. What is done once a row stays as it is in `loops.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ar_lightning.core.condition import rows_of
from ar_lightning.density.compiled_step import CompiledStep
from ar_lightning.density.draw import Draw
from ar_lightning.density.loops import group_of
from ar_lightning.models.base import RasterModel
from ar_lightning.nn.streaming import Walk, streaming

__all__ = ["fill_pixels"]


def fill_pixels(
    model: RasterModel, draw: Draw, x: Tensor, cond: Any, size: int, compiled: Callable[..., Any]
) -> Tensor | None:
    """Fill images `x` (B, C, H, W) as `sample_raster` does, in a batch of `size` that is filled up.

    `compiled` returns the code of a step for its tensors; return None if there is none.
    """
    rows = torch.arange(size, device=x.device).clamp(max=len(x) - 1)
    cond = None if cond is None else rows_of(cond, rows)
    above = torch.zeros_like(draw.encode(x[rows][:, :, :1]))
    with streaming(model):
        walk = Walk(model, size, x.shape[3], model.shapes.groups)
        fill = (_Drawn if draw.inside else _Chosen)(model, draw, walk, x, rows, compiled)
        for i in range(x.shape[2]):
            walk.start_row(i)
            if not fill.row(i, model.row(above, cond)):
                return None
            above = draw.encode(x[rows][:, :, i : i + 1])
    return x


class _Rows:
    """Fills images `x` (B, C, H, W) row by row, whose numbers in the batch are `rows`."""

    def __init__(
        self, model: RasterModel, draw: Draw, walk: Walk, x: Tensor, rows: Tensor, compiled: Callable[..., Any]
    ) -> None:
        self.model, self.draw, self.walk, self.x, self.rows, self.compiled = model, draw, walk, x, rows, compiled
        self.place = x.new_zeros((), dtype=torch.long), x.new_zeros((), dtype=torch.long)  # row and column
        self.read = torch.zeros_like(draw.encode(x[rows][:, :, :1, :1])[:, :, 0, 0])
        self.features: list[Tensor] = []
        self.codes: dict[Any, Any] = {}

    def start(self, i: int, features: Any) -> None:
        """Go to a row, and copy its features, `(W, B, n)` each, to where the code reads them; those that it has."""
        self.one = isinstance(features, Tensor)
        maps = [None if t is None else t[:, :, 0].permute(2, 0, 1) for t in ([features] if self.one else features)]
        if not self.features:  # the first row has all
            self.features = [t.new_empty(t.shape) for t in maps if t is not None]
        for there, here in zip(self.features, maps, strict=True):
            if here is not None:
                there.copy_(here)
        for t, value in zip(self.place, (i, 0), strict=True):
            t.fill_(value)
        self.read.zero_()


class _Drawn(_Rows):
    """Draws in the code."""

    tensors: list[Tensor]

    def __init__(self, model: RasterModel, draw: Draw, walk: Walk, x: Tensor, rows: Tensor, compiled: Any) -> None:
        super().__init__(model, draw, walk, x, rows, compiled)
        # (B, D, ...) to (H, W, C, B, ...)
        self.given = [t[rows].unflatten(1, x.shape[1:]).movedim((2, 3, 1), (0, 1, 2)) for t in draw.given(x)]
        self.here = [torch.empty_like(t[0], memory_format=torch.contiguous_format) for t in self.given]
        self.values = x.new_empty(x.shape[3], x.shape[1], len(rows))

    def row(self, i: int, features: Any) -> bool:
        """Fill row i by its features; return whether there is code."""
        self.start(i, features)
        for there, given in zip(self.here, self.given, strict=True):
            there.copy_(given[i])
        for j in range(len(self.values)):
            coarsest = self.walk.coarsest(i, j)
            if coarsest not in self.codes:
                step = PixelStep(self.model, self.draw, self.walk, coarsest, len(self.features), self.one)
                self.tensors = [*self.place, self.read, self.values, *self.here, *self.features, *step.tensors]
                self.codes[coarsest] = self.compiled(step, self.tensors)
            if (code := self.codes[coarsest]) is None:
                return False
            code(self.tensors)
        self.x[:, :, i] = self.values.permute(2, 1, 0)[: len(self.x)]
        if self.draw.progress:
            self.draw.progress(self.x[:, :, i].numel())
        return True


class _Chosen(_Rows):
    """Chooses values outside the code, by what it returns."""

    memory: list[Tensor]

    def row(self, i: int, features: Any) -> bool:
        """Fill row i by its features; return whether there is code."""
        self.start(i, features)
        groups, (n, _, height, width) = self.walk.groups, self.x.shape
        size, choice = self.read.shape[1] // groups, self.draw.of_output()
        for j in range(width):
            self.place[1].fill_(j)
            given, coarsest = self.features, self.walk.coarsest(i, j)
            for g in range(groups):
                if (coarsest, g) not in self.codes:
                    step = GroupStep(self.model, self.draw, self.walk, coarsest, g, len(given), self.one)
                    self.memory = step.tensors
                    self.codes[coarsest, g] = self.compiled(step, [*self.place, self.read, *given, *self.memory])
                if (code := self.codes[coarsest, g]) is None:
                    return False
                output, *pixel = code([*self.place, self.read, *given, *self.memory])
                given = pixel or given
                site = g * height * width + i * width + j
                self.read[:n, g * size : (g + 1) * size] = choice.fill(self.x, output[:n], site)
        return True


class _Step(CompiledStep):
    """A pixel at which resolutions down to the `coarsest` scale have one of their own.

    It reads `features` of the row, so many maps, which are `one` and no list.
    """

    def __init__(
        self, model: RasterModel, draw: Draw, walk: Walk, coarsest: int, features: int, one: bool
    ) -> None:  # fmt: skip
        super().__init__(model, draw, walk.modules)
        self.walk, self.coarsest, self.features, self.one = walk, coarsest, features, one
        self.scales = model.scales or (1,) * features

    @property
    def architecture(self) -> str:
        return repr((super().architecture, self.coarsest))

    def here(self, maps: Sequence[Tensor], column: Tensor) -> Any:
        """Return the features of a pixel, of maps `(W, B, n)` of the row."""
        parts = [
            t.index_select(0, (column // scale if scale > 1 else column).view(1))[0] if scale <= self.coarsest else None
            for t, scale in zip(maps, self.scales, strict=True)
        ]
        return parts[0] if self.one else parts


class PixelStep(_Step):
    """A pixel as a function of tensors: it reads the pixel to the left, draws the values of this one and moves on.

    The tensors are the row and the column, `()` both; the pixel to the left `(B, C * E)`; the values of the row
    `(W, C, B)`, which are filled; uniforms `(W, C, B, noise)`, known values and their mask `(W, C, B)`; and then the
    `features` of the row `(W, B, n)` and the memory of the modules.
    """

    def forward(self, *tensors: Tensor) -> Tensor:
        """Draw a pixel and return it as the next one reads it, `(B, C * E)`."""
        row, column, left, values, noise, known, mask, *rest = tensors
        at = column.view(1)
        noise, known, mask = (t.index_select(0, at)[0] for t in (noise, known, mask))
        features = self.here(rest[: self.features], column)
        with self.remembering(iter(rest[self.features :])):
            self.walk.export(row, self.coarsest)
            drawn, read = self.pixel(column, left, features, noise, known, mask)
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


class GroupStep(_Step):
    """A group of channels of a pixel as a function of tensors, which tells by what its values are chosen.

    The tensors are the row and the column, `()` both; what is read `(B, C * E)`, the pixel to the left, over which the
    groups of this one are written in turn; for the first group the `features` of the row `(W, B, n)`, for the others
    those of the pixel `(B, n)`; and the memory of the modules.
    """

    def __init__(
        self, model: RasterModel, draw: Draw, walk: Walk, coarsest: int, group: int, features: int, one: bool
    ) -> None:
        super().__init__(model, draw, walk, coarsest, features, one)
        self.group = group

    @property
    def architecture(self) -> str:
        return repr((super().architecture, self.group))

    def forward(self, row: Tensor, column: Tensor, read: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Return what the draw makes of the parameters, and of the first group the features of the pixel for others."""
        (model, _), g, groups = self.held, self.group, self.walk.groups
        features = rest[: self.features]
        with self.remembering(iter(rest[self.features :])):
            self.walk.export(row, self.coarsest)
            self.walk.move(column, g)
            if g == 0:
                pixel = model.pixel(read, self.here(features, column), None)
            else:
                pixel = features[0] if self.one else list(features)
            colours = read.chunk(groups, 1)
            earlier = colours[g - 1] if g else torch.zeros_like(colours[0])
            params = model.colour(earlier if groups > 1 else None, group_of(pixel, g, groups), None)
        output = self.output(params)
        if g or groups == 1:
            return (output,)
        return output, *([pixel] if isinstance(pixel, Tensor) else pixel)
