"""A step of a training, which the randomness of its objective is a function of."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Step"]


class Step(NamedTuple):
    """A training step: its random numbers are the same on any number of processes.

    Args:
        number: of the optimizer step.
        seed: of the run.
        rank: of this process.
        world: number of processes.
    """

    number: int = 0
    seed: int = 0
    rank: int = 0
    world: int = 1

    def uniforms(self, n: int, k: int) -> Tensor:
        """Return `(n, k)` uniforms on the CPU: k for each of the n examples that this process has in the step."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.number) % 2**63)
        return torch.rand(n * self.world, k, generator=generator)[self.rank :: self.world]
