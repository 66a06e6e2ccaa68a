"""Sequences, a token at a time, by a step that is compiled. What is known at the start is read at once before."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ar_lightning.core.condition import Condition, rows_of
from ar_lightning.density.compiled_step import CompiledStep
from ar_lightning.density.draw import Draw
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.orders import token_order, value_order
from ar_lightning.nn.streaming import Streaming

__all__ = ["fill_tokens"]


class ReadStep(CompiledStep):
    """A token as a function of tensors: it reads the one before, and tells by what the values of this one are chosen.

    The tensors are `seen` `(m,)`, the numbers of all tokens up to this one; the token before `(B, E)`; and then the
    `path`, where there is one, as of `SequenceModel.scan_in`, what is given with an example, the weights, and the
    memory of the modules.
    """

    def __init__(self, model: SequenceModel, draw: Draw, cond: Condition, path: Tensor | None = None) -> None:
        super().__init__(model, draw, (m for m in model.modules() if isinstance(m, Streaming)))
        weights = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, m in model.named_modules():
            if isinstance(m, (nn.Linear, nn.RNNBase)):  # products of a few rows are faster by columns of weights
                matrices = {f"{name}.{k}": p for k, p in m.named_parameters(recurse=False) if p.ndim == 2}
                weights |= {k: p.t().contiguous().t() for k, p in matrices.items()}
        self.given, self.weights = [t is not None for t in (path, *cond)], [f"model.{name}" for name in weights]
        self.tensors = [*(t for t in (path, *cond) if t is not None), *weights.values(), *self.tensors]

    def forward(self, seen: Tensor, before: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return what the draw makes of the parameters."""
        return (self.output(self.params(seen, before, *others)),)

    def params(self, seen: Tensor, before: Tensor, *others: Tensor) -> Tensor:
        """Return the parameters `(B, P)` of the token."""
        rest = iter(others)
        path, *cond = (next(rest) if given else None for given in self.given)
        weights = {name: next(rest) for name in self.weights}
        with self.remembering(rest, position=seen):
            every: Tensor = functional_call(_Scan(self.held[0]), weights, (before[:, None], Condition(*cond), path))
        return every[:, 0]


class TokenStep(ReadStep):
    """The same with the draw of the token inside, which moves on.

    Before what is given with an example are the values `(tokens, c, B)`, which are filled, uniforms
    `(tokens, c, B, noise)`, known values and their mask `(tokens, c, B)`, all in the order of the model.
    """

    def forward(self, seen: Tensor, before: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Draw a token and return it as the next one reads it, `(B, E)`."""
        values, noise, known, mask, *others = tensors
        params, at = self.params(seen, before, *others), seen[-1:]
        drawn, read = self.choose(params, *(t.index_select(0, at)[0] for t in (noise, known, mask)))
        values.index_copy_(0, at, drawn[None])
        before.copy_(read)
        return (read,)


class _Scan(nn.Module):
    """A model that is called to scan."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, past: Tensor, cond: Condition, path: Tensor | None) -> Tensor:
        return self.model.scan(past, cond) if path is None else self.model.scan_in(past, path, cond)


def fill_tokens(
    model: SequenceModel, draw: Draw, x: Tensor, cond: Any, start: int, before: Tensor, path: Tensor | None = None,
    *, size: int, compiled: Callable[..., Any],
) -> bool:  # fmt: skip
    """Fill `x` (B, C, *sites) from token `start` on, the token `before` which is not read yet, where others were.

    It goes along the `path`, as of `SequenceModel.scan_in`, if not in the order of the model. The batch is filled up to
    `size`. `compiled` returns the code of a step for its tensors; return whether there is.
    """
    n, tokens = len(x), model.shapes.tokens
    if start == tokens:
        return True
    rows = torch.arange(size).clamp(max=n - 1)
    _keep(model, rows)

    order = token_order(model.order, model.shapes) if path is None else path[..., 1:]
    values = value_order(order, model.shapes).expand(n, -1)

    def by_token(t: Tensor) -> Tensor:  # (B, D, ...) to (tokens, c, B, ...)
        return t[rows[:, None], values[rows]].unflatten(1, (tokens, -1)).movedim(0, 2).contiguous()

    way = path[rows] if path is not None and path.ndim > 1 else path
    step = (TokenStep if draw.inside else ReadStep)(model, draw, rows_of(cond, rows), way)
    seen, read = torch.arange(tokens), before[rows]
    own = [by_token(x.flatten(1)), *map(by_token, draw.given(x))] if draw.inside else []
    tensors = [read, *own, *step.tensors]
    code = compiled(step, [seen, *tensors], tokens)
    if code is None:
        _keep(model, torch.arange(n))
        return False
    sites, draw = order.tolist() if order.ndim == 1 else order.unbind(1), draw.of_output()
    for token in range(start, tokens):
        output, *_ = code([seen[: token + 1], *tensors])
        if not draw.inside:
            read[:n] = draw.fill(x, output[:n], sites[token])
        elif draw.progress:
            draw.progress(n * own[0].shape[1])
    if draw.inside:
        x.flatten(1).scatter_(1, values, own[0].movedim(2, 0).flatten(1)[:n])
    return True


def _keep(model: SequenceModel, rows: Tensor) -> None:
    for m in model.modules():
        if isinstance(m, Streaming):
            m.keep(rows)
