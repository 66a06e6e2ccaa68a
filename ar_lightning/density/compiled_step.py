"""A step of the sampler as a function of tensors, which can be compiled: what steps of pixels and of tokens share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.density.draw import Draw
from ar_lightning.nn.streaming import Streaming, mapped, settings

__all__ = ["CompiledStep"]


class CompiledStep(nn.Module):
    """A step of a model that is streaming, and the draw in it; the `tensors` of its memory are inputs.

    Args:
        model: all of whose weights are among the inputs.
        draw: chooses the values.
        modules: those of the model that remember; what they remember by now tells of which shapes it is.
    """

    def __init__(self, model: Any, draw: Draw, modules: Iterable[Streaming]) -> None:
        super().__init__()
        self.output = draw.output
        self.held = (model, draw.likelihood)  # not as its own modules: their weights are inputs
        self.temperature, self.dtype = draw.temperature, draw.dtype
        self.tensors: list[Tensor] = []
        self.memory = [(m, m.past) for m in modules if m.past]
        for _, past in self.memory:
            past.update({name: mapped(value, self._found) for name, value in past.items()})

    def _found(self, t: Tensor) -> Tensor:
        self.tensors.append(t.contiguous())
        return self.tensors[-1]

    @property
    def architecture(self) -> str:
        """What it does, but for the shapes of its tensors: each setting of a module, whether that prints it or not."""
        model, likelihood = self.held
        every = [(name, *settings(m)) for module in self.held for name, m in module.named_modules()]
        constants = [(name, t.tolist()) for name, t in likelihood.named_buffers()]  # which are no inputs
        what = (type(self).__name__, str(model), str(likelihood), model.shapes, every, constants)
        return repr((*what, self.temperature, self.dtype))

    @contextmanager
    def remembering(self, tensors: Iterator[Tensor], **others: Any) -> Iterator[None]:
        """Let the modules remember these tensors in place of those of the memory, and `others` beside them."""
        for m, past in self.memory:
            m.past = {name: mapped(value, lambda _: next(tensors)) for name, value in past.items()} | others
        try:
            yield
        finally:
            for m, past in self.memory:
                m.past = past

    def choose(self, params: Tensor, noise: Tensor, known: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the values of one group of channels at a site, by its parameters `(B, P)`, as `Draw.fill` does.

        Uniforms are `(c, B, noise)`, known values and their mask `(c, B)`. Return the values `(c, B)`, and the same
        encoded `(B, c * E)`.
        """
        _, likelihood = self.held
        values: list[Tensor] = []
        for u, value, fixed in zip(noise, known, mask, strict=True):
            drawn = likelihood.sample(params, u, self.temperature, torch.stack(values, 1) if values else None)
            values.append(torch.where(fixed, value, drawn.to(known.dtype)))
        read: Tensor = likelihood.encode(torch.stack(values, 1)[..., None])[..., 0]
        return torch.stack(values), read.to(self.dtype)
