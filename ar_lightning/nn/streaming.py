"""One forward, two modes: inside `streaming(model)` a causal module remembers what it has read, and reads on.

The memory takes the place of the padding before the first site. It exists only inside the context,
only in eval mode, is never part of a `state_dict`, and is gone on exit or error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["Streaming", "as_row", "as_steps", "mapped", "streaming", "with_past"]


class Streaming(nn.Module):
    """A module that keeps its past while streaming.

    `past` is None in the parallel mode; while streaming it is a dict, empty until the first step.
    """

    past: dict[str, Any] | None = None

    def advance(self, n: int) -> int:
        """Return the position of the first of `n` new sites: 0 in parallel mode, else how many were read before."""
        if self.past is None:
            return 0
        start = self.past.get("position", 0)
        self.past["position"] = start + n
        return int(start)

    def keep(self, rows: Tensor) -> None:
        """Go on with these of the examples alone, while streaming; to be overridden where examples are not first."""
        if self.past:
            self.past.update({key: mapped(value, lambda t: t[rows]) for key, value in self.past.items()})

    def start_row(self, batch: int, width: int) -> None:
        """Prepare for the next row of `batch` images of `width` pixels, before its first pixel, while streaming."""


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
    """Return what is remembered, a tensor or a tuple of such, changed; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(change(t) for t in value)
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


def as_row(steps: list[Tensor], colours: int) -> Tensor:
    """Join the groups of the pixels of a row, `(B, n)` each, into a map `(B, colours * n, W)`."""
    return torch.stack(steps, 2).unflatten(2, (-1, colours)).permute(0, 3, 1, 2).flatten(1, 2)


def as_steps(row: Tensor, colours: int) -> list[Tensor]:
    """Take a map `(B, colours * n, W)` apart into the groups of its pixels, `(B, n)` each; inverse of `as_row`."""
    steps = row.unflatten(1, (colours, -1)).permute(3, 1, 0, 2).flatten(0, 1)
    return list(steps.contiguous().unbind(0))
