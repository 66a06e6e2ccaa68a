"""Which examples a batch holds, on any number of processes: a shuffled epoch, or lanes of a stream."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

__all__ = ["EpochSampler", "LaneSampler"]


class EpochSampler(Sampler[int]):
    """Indices of one process in one epoch: every `world`-th of a permutation that depends on `seed` and epoch only.

    The last `size % world` of the permutation are left out, so that every process makes as many steps.
    """

    def __init__(self, size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.size, self.seed, self.rank, self.world = size, seed, rank, world
        self.epoch = 0
        self.start = 0  # examples to leave out of the next epoch that is read

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.world

    def __iter__(self) -> Iterator[int]:
        entropy = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(int(entropy[0])))
        start, self.start = self.start, 0
        return iter(order[: len(self) * self.world][self.rank :: self.world][start:].tolist())


class LaneSampler(Sampler[list[int]]):
    """Batches of one process: batch t has the t-th window of every `world`-th lane.

    Lanes are the parts of a stream of `size` windows that are read side by side; the first `size % lanes` of them have
    one window more.
    """

    def __init__(self, size: int, lanes: int, rank: int = 0, world: int = 1) -> None:
        self.lanes = np.array_split(np.arange(size), lanes)[rank::world]
        self.start = 0  # batches to leave out of the next epoch that is read

    def __len__(self) -> int:
        return len(self.lanes[0])

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        for t in range(start, len(self)):
            yield [int(lane[t]) for lane in self.lanes if t < len(lane)]
