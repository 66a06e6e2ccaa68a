"""Examples of different lengths: what comes after the end of one is determined, so it is neither scored nor drawn.

    p(x_1 .. x_n, end) = p(end | x_1 .. x_n) prod_i p(x_i | x_<i)

The probabilities of all sequences that end add up to one, less that of sequences longer than a density's spec allows.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Distribution

from ar_lightning.core.spec import DataSpec

__all__ = ["after_end", "check_ends", "ended", "first_part", "lengths_of", "symbols_of", "to_the_end"]


def after_end(x: Tensor, end: int) -> Tensor:
    """Return booleans like x `(..., T)`: which values come after the first that is `end`.

    Example:
        >>> after_end(torch.tensor([[0, 2, 2], [2, 2, 2], [1, 0, 1]]), end=2).long()
        tensor([[0, 0, 1],
                [0, 1, 1],
                [0, 0, 0]])
    """
    ends = x == end
    return ends.cumsum(-1) > ends


def lengths_of(x: Tensor, end: int) -> Tensor:
    """Return the number of values of each example, the end among them where there is one: `(...)` for x `(..., T)`."""
    return (~after_end(x, end)).sum(-1)


def symbols_of(x: Tensor, spec: DataSpec) -> Tensor | None:
    """Return how many values of each example are scored, the end among them, `(B,)`; None where all have one length."""
    return None if spec.end is None else lengths_of(x[:, 0], spec.end)


def check_ends(x: Tensor, end: int) -> None:
    """Raise `ValueError` if something follows the end of an example."""
    if bool((after_end(x, end) & (x != end)).any()):
        raise ValueError(f"a value follows the end of an example: after the level {end} there is nothing else")


def to_the_end(score: Callable[[Tensor], Tensor], x: Tensor, end: int, crop: bool) -> Tensor:
    """Return the scores `(B, 1, T)` of sequences, 0 after the end of each; to `crop` is to stop at the last end."""
    longest = int(lengths_of(x, end).max()) if crop and len(x) else x.shape[-1]
    read = x[..., :longest]
    return F.pad(score(read).masked_fill(after_end(read, end), 0), (0, x.shape[-1] - longest))


def ended(conditionals: Any, x: Tensor, end: int) -> Distribution:
    """Return the conditionals `(B, 1, T)` of sequences x, in which an end is all that may follow an end."""
    never = torch.full_like(conditionals.logits[0, 0, 0], -torch.inf)
    never[end] = 0
    logits = torch.where(after_end(x, end)[..., None], never, conditionals.logits)
    return Categorical(logits=logits, validate_args=False)


def first_part(spec: DataSpec, sizes: Tensor) -> Tensor:
    """Return a mask `(1, T)` of the first half of sequences that have so many values before their end, on average."""
    return torch.arange(spec.shape[-1])[None] < max(1, round(float(sizes.double().mean()) / 2))
