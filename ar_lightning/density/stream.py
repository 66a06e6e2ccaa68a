"""Long streams: a model reads on where the window before ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ar_lightning.models.base import SequenceModel
from ar_lightning.nn.streaming import Streaming, mapped

__all__ = ["Memory", "carried"]

Memory = dict[str, dict[str, Any]]  # what each module that remembers has read, by its name; tensors have lanes first


@contextmanager
def carried(model: SequenceModel, memory: Memory, lanes: int) -> Iterator[None]:
    """Let a model that `carries` read on where `memory` ends, and keep there where it ends itself, without gradients.

    Truncated backpropagation through time: the forward pass goes on over windows of a stream, the backward pass ends at
    the start of each (Williams & Peng, 1990). What precedes the first token is the last one of the window before.
    `memory`, empty at the start of a stream, is changed in place; its first `lanes` go on, the others are forgotten.
    """
    modules: dict[str, Any] = {n: m for n, m in model.named_modules() if isinstance(m, Streaming)}
    for past in memory.values():
        past.update({key: mapped(value, lambda t: t[:lanes]) for key, value in past.items()})
    try:
        model.before = memory.setdefault("before", {})
        for name, m in modules.items():
            m.past = memory.setdefault(f"modules.{name}", {})
        yield
    finally:
        model.before = None
        for m in modules.values():
            m.past = None
    for past in memory.values():
        past.update({key: mapped(value, Tensor.detach) for key, value in past.items()})
