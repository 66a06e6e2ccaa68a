"""Where a training is: what the randomness of an objective depends on."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Step"]


class Step(NamedTuple):
    """The optimizer step `number` of a run, on process `rank` of `world`; an objective's randomness depends on it."""

    number: int = 0
    seed: int = 0
    rank: int = 0
    world: int = 1

    def uniforms(self, n: int, k: int) -> Tensor:
        """Return k uniforms on the CPU for each of n examples, `(n, k)`; the same on any number of processes."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.number) % 2**63)
        return torch.rand(n * self.world, k, generator=generator)[self.rank :: self.world]
