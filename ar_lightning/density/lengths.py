"""Examples of different lengths: what comes after the end of one is determined, so it is neither scored nor drawn.

    p(x_1 .. x_n, end) = p(end | x_1 .. x_n) prod_i p(x_i | x_<i)

The probabilities of all sequences that end add up to one, less that of sequences longer than a density's spec allows.
Where a site is a frame of several channels, the first channel has the end, and is read before the others.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Distribution

from ar_lightning.core.spec import DataSpec

__all__ = ["after_end", "blank", "check_ends", "ended", "first_part", "lengths_of", "symbols_of", "to_the_end"]


def after_end(x: Tensor, end: int) -> Tensor:
    """Return booleans like x `(B, C, T)`: which values come after the first `end` in the first channel.

    Example:
        >>> after_end(torch.tensor([[[0, 2, 2]], [[2, 2, 2]], [[1, 0, 1]]]), end=2)[:, 0].long()
        tensor([[0, 0, 1],
                [0, 1, 1],
                [0, 0, 0]])
    """
    ends = x[:, :1] == end
    count = ends.cumsum(-1)
    return torch.cat([count > ends, (count > 0).expand(-1, x.shape[1] - 1, -1)], 1)


def lengths_of(x: Tensor, end: int) -> Tensor:
    """Return the number of sites of examples `(B, C, T)`, that of the end among them where there is one: `(B,)`."""
    return (~after_end(x[:, :1], end)).sum((1, 2))


def symbols_of(x: Tensor, spec: DataSpec) -> Tensor | None:
    """Return how many values of each example are scored, the end among them, `(B,)`; None where all have one length."""
    return None if spec.end is None else (~after_end(x, spec.end)).sum((1, 2))


def blank(x: Tensor, end: int) -> Tensor:
    """Return what is left of x `(B, C, T)` after its end: the end in the first channel, and 0 in the others."""
    nothing = torch.zeros_like(x)
    nothing[:, 0] = end
    return nothing


def check_ends(x: Tensor, end: int) -> None:
    """Raise `ValueError` if something follows the end of an example."""
    if bool((after_end(x, end) & (x != blank(x, end))).any()):
        raise ValueError(f"a value follows the end of an example: after the level {end} there is nothing else")


def to_the_end(score: Callable[[Tensor], Tensor], x: Tensor, end: int, crop: bool) -> Tensor:
    """Return the scores `(B, C, T)` of sequences, 0 after the end of each; to `crop` is to stop at the last end."""
    longest = int(lengths_of(x, end).max()) if crop and len(x) else x.shape[-1]
    read = x[..., :longest]
    return F.pad(score(read).masked_fill(after_end(read, end), 0), (0, x.shape[-1] - longest))


def ended(conditionals: Any, x: Tensor, end: int) -> Distribution:
    """Return the conditionals `(B, C, T)` of sequences x, in which nothing but `blank` may follow an end."""
    only = F.one_hot(blank(x.long(), end), conditionals.logits.shape[-1]).to(conditionals.logits).log()
    logits = torch.where(after_end(x, end)[..., None], only, conditionals.logits)
    return Categorical(logits=logits, validate_args=False)


def first_part(spec: DataSpec, sizes: Tensor) -> Tensor:
    """Return a mask `(C, T)` of the first half of sequences that have so many sites before their end, on average."""
    return (torch.arange(spec.shape[-1]) < max(1, round(float(sizes.double().mean()) / 2))).repeat(spec.shape[0], 1)
