"""Examples of a run's own data, named on the command line: `data:test`, `data:test[:16]`, `data:test[3]`."""

import re

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.data.base import SPLITS
from ar_lightning.data.module import ArrayDataModule

__all__ = ["own_examples_of"]

NAMED = re.compile(rf"data:({'|'.join(SPLITS)})(?::(\d{{1,18}})|\[(\d{{1,18}})\]|\[(\d{{0,18}}):(\d{{0,18}})\])?")


def own_examples_of(source: str, data: ArrayDataModule) -> tuple[str, Tensor]:
    """Return the split and the numbers `(n,)` of the examples that `source` names, in their order.

    `data:SPLIT` is all of them, `data:SPLIT[A:B]` those from A up to B as in Python, where either may be left out, and
    `data:SPLIT[I]` or `data:SPLIT:I` is one; they are numbered from 0.
    """
    asked = NAMED.fullmatch(source)
    if not asked:
        raise UserError(f"{source}: expected data:SPLIT, data:SPLIT[:N] for the first N examples, or data:SPLIT[I]")
    split, size = asked[1], data.size(asked[1])
    if one := asked[2] or asked[3]:
        start, stop = int(one), int(one) + 1
    else:
        start, stop = int(asked[4] or 0), min(int(asked[5] or size), size)
    if not start < stop <= size:
        raise UserError(f"{source}: none of these is there; {split} has {size} examples, numbered from 0")
    return split, torch.arange(start, stop)
