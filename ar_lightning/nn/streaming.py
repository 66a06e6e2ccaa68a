"""One forward, two modes: inside `streaming(model)` a causal module remembers what it has read, and reads on.

The memory takes the place of the padding before the first site. It exists only inside the context,
only in eval mode, is never part of a `state_dict`, and is gone on exit or error.

Modules that read images say once, in `start`, which tensors they need for a batch; their step reads and writes these in
place at a `Place` that all of them share. Its column is a number, or a tensor in a step that is exported. Modules that
read sequences make theirs at the first token, for all that come; see `compiling` for their step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ar_lightning.nn.rounding import form

__all__ = ["Place", "Row", "Steps", "Streaming", "Walk", "as_steps", "mapped", "settings", "streaming", "with_past"]

PLAIN = (bool, int, float, str, tuple, list)  # settings of modules; others have no lasting form


class Place:
    """Where a model is in an image: a row, a pixel of it, and the group of channels that is read there."""

    row: Any = -1  # a number, or a tensor `()`
    column: Any = 0  # the same
    group: int = 0
    step: Any = 0  # of the row, which has one for each group of each pixel

    halved: bool | None = None  # in a step that is exported: whether half the resolution has a pixel here too

    @property
    def begins(self) -> bool:
        """Whether a pixel of half the resolution begins here."""
        return not (self.row % 2 or self.column % 2) if self.halved is None else self.halved

    def move(self, column: Any, group: int, groups: int) -> None:
        """Go to a group of a pixel of the row."""
        self.column, self.group, self.step = column, group, column * groups + group


class Steps:
    """A tensor `(steps, B, n)`, read and written at one step: a view of it where that is a number."""

    def __init__(self, data: Tensor) -> None:
        self.data = data
        self.views: tuple[Tensor, ...] = ()  # made once: making one takes as long as computing with it

    def __getitem__(self, step: Any) -> Tensor:
        if isinstance(step, Tensor):
            return self.data.index_select(0, step.view(1))[0]
        self.views = self.views or self.data.unbind()
        return self.views[step]

    def write(self, step: Any, x: Tensor) -> None:
        """Write `(B, n)` at a step."""
        if isinstance(step, Tensor):
            self.data.index_copy_(0, step.view(1), x[None])
        else:
            self[step].copy_(x)

    def fill(self, row: Tensor, colours: int) -> None:
        """Write all steps of a row, which is a map `(B, colours * n, W)`."""
        self.data.unflatten(0, (-1, colours)).copy_(row.unflatten(1, (colours, -1)).permute(3, 1, 0, 2))

    def row(self, colours: int) -> Tensor:
        """Return all steps as a map `(B, colours * n, W)`."""
        return self.data.unflatten(0, (-1, colours)).permute(2, 1, 3, 0).flatten(1, 2).contiguous()


class Row:
    """The pixels of a row and `left` zeros before them, `(B, left + W, C)`: a window of them is a view too."""

    def __init__(self, data: Tensor, left: int, colours: int) -> None:
        self.data, self.left, self.colours = data, left, colours
        self.size = data.shape[2] // colours
        self.views: list[tuple[Tensor, Tensor]] = []  # of each step: its group of its pixel, and what is seen there

    def read(self, x: Tensor, place: Place) -> Tensor:
        """Write a group `(B, n)` of a pixel; return the pixels before and the groups so far, one after another."""
        group, width = place.group, self.data.shape[2]
        seen = self.left * width + (group + 1) * self.size
        if isinstance(place.column, Tensor):
            here = self.data[:, :, group * self.size : (group + 1) * self.size]
            here.index_copy_(1, (place.column + self.left).view(1), x[:, None])
            columns = place.column + torch.arange(self.left + 1, device=x.device)
            return self.data.index_select(1, columns).flatten(1)[:, :seen]
        if not self.views:
            flat, size, before = self.data.flatten(1), self.size, self.left * width
            for start in range(0, flat.shape[1] - before, size):  # of what is seen, which ends with the group itself
                first, end = start // width * width, start + before + size
                self.views.append((flat[:, end - size : end], flat[:, first:end]))
        here, window = self.views[place.column * self.colours + group]
        here.copy_(x)
        return window

    def row(self) -> Tensor:
        """Return the pixels as a map `(B, C, W)`."""
        return self.data[:, self.left :].transpose(1, 2).contiguous()


class Streaming(nn.Module):
    """A module that keeps its past while streaming.

    `past` is None in the parallel mode; while streaming it is a dict, empty until the first step. A module that reads
    pixels shares its `place` with all others that have as many: one for `scale` x `scale` of the image.
    """

    past: dict[str, Any] | None = None
    place: Place
    scale: int = 1

    def advance(self, n: int) -> int:
        """Return the position of the first of `n` new sites: 0 in parallel mode, else how many were read before."""
        if self.past is None:
            return 0
        if self.compiling:
            return self.past["position"].shape[0] - 1  # type: ignore[no-any-return]
        start = self.past.get("position", 0)
        self.past["position"] = start + n
        return int(start)

    @property
    def compiling(self) -> bool:
        """Whether this is one step, of a site alone, that may become machine code: memory is only changed in place.

        Then the position is not a number, but as many of them as there are sites up to this one.
        """
        return self.past is not None and isinstance(self.past.get("position"), Tensor)

    def keep(self, rows: Tensor) -> None:
        """Go on with these of the examples alone, while streaming; to be overridden where examples are not first."""
        if self.past:
            self.past.update({key: mapped(value, lambda t: t[rows]) for key, value in self.past.items()})

    def start(self, batch: int, width: int) -> None:
        """Make the memory for `batch` images of `width` pixels in a row."""

    def start_row(self) -> None:
        """Compute what the pixels of the next row read of the finished rows, before the first of them."""

    @staticmethod
    def joined(layers: Sequence[Any], batch: int, width: int) -> Callable[[], None] | None:
        """Return what does the work of `start_row` for layers that are alike at once, in less time; None for nothing.

        It may round otherwise.
        """
        return None


class Walk:
    """The way of a model over `batch` images, pixel by pixel; modules of a lower resolution have their own places."""

    def __init__(self, model: nn.Module, batch: int, width: int, groups: int) -> None:
        self.groups = groups
        self.modules = [m for m in model.modules() if isinstance(m, Streaming)]
        self.places = {m.scale: Place() for m in self.modules}
        for m in self.modules:
            m.place = self.places[m.scale]
            m.start(batch, -(-width // m.scale))
        alike: dict[Any, list[Streaming]] = {}
        for m in self.modules:
            kind = (settings(m), [p.shape for p in m.parameters()]) if form() > 2 else id(m)
            alike.setdefault((m.scale, repr(kind)), []).append(m)
        self.starts: list[tuple[int, Callable[[], None]]] = []  # with the scale of each
        for (scale, _), layers in alike.items():
            joined = layers[0].joined(layers, batch, -(-width // scale)) if form() > 2 else None
            self.starts += [(scale, joined)] if joined else [(scale, m.start_row) for m in layers]

    def start_row(self, row: int) -> None:
        """Let the modules that have pixels in a row prepare for them."""
        for scale, place in self.places.items():
            place.row = row // scale
        for scale, start in self.starts:
            if row % scale == 0:
                start()

    def coarsest(self, row: int, column: int) -> int:
        """Return the scale of the lowest resolution that has a pixel of its own at this one."""
        return max(scale for scale in self.places if not (row % scale or column % scale))

    def export(self, row: Tensor, coarsest: int) -> None:
        """Go to a row `()` of which the lowest resolution with a pixel there is known, in a step that is exported."""
        for scale, place in self.places.items():
            place.row, place.halved = row // scale, 2 * scale <= coarsest

    def move(self, column: Any, group: int) -> None:
        """Go to a group of a pixel of the row."""
        for scale, place in self.places.items():
            place.move(column // scale if scale > 1 else column, group, self.groups)


@contextmanager
def streaming(model: nn.Module) -> Iterator[None]:
    """Let `model` read its input one piece at a time.

    Raises:
        RuntimeError: the model is in training mode, or streaming already.
    """
    if model.training:
        raise RuntimeError("streaming needs eval mode: call model.eval() first")
    modules = [m for m in model.modules() if isinstance(m, Streaming)]
    if any(m.past is not None for m in modules):
        raise RuntimeError("this model is streaming already")
    try:
        for m in modules:
            m.past = {}
        with parametrize.cached():  # weights that are computed, such as weight-normed ones, are computed once
            yield
    finally:
        for m in modules:
            m.past = None


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return what is remembered, a tensor or several of them, changed; anything else as it is."""
    if isinstance(value, (tuple, list)):
        return tuple(change(t) for t in value)
    if isinstance(value, Steps):
        return Steps(change(value.data))
    if isinstance(value, Row):
        return Row(change(value.data), value.left, value.colours)
    return change(value) if isinstance(value, Tensor) else value


def with_past(past: dict[str, Any] | None, x: Tensor, dim: int, n: int) -> Tensor:
    """Put the `n` last inputs before `x` along `dim`: zeros, or what was read while streaming."""
    if not n:
        return x
    if past and "tail" in past:
        window = torch.cat([past["tail"], x], dim)
    else:
        window = F.pad(x, (0, 0) * (x.ndim - 1 - dim) + (n, 0))
    if past is not None:
        past["tail"] = window.narrow(dim, window.shape[dim] - n, n)
    return window


def settings(module: nn.Module) -> tuple[str, list[tuple[str, str]]]:
    """Return the kind of a module, and each of its settings, whether it prints that or not."""
    plain = {k: v for k, v in vars(module).items() if k[0] != "_" and isinstance(v, PLAIN)}
    return str(type(module)), sorted((k, repr(v)) for k, v in plain.items())


def as_steps(row: Tensor, colours: int) -> list[Tensor]:
    """Take a map `(B, colours * n, W)` apart into the groups of its pixels, `(B, n)` each."""
    steps = row.unflatten(1, (colours, -1)).permute(3, 1, 0, 2).flatten(0, 1)
    return list(steps.contiguous().unbind(0))
