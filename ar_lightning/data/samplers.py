"""Which examples a batch holds, on any number of processes: a shuffled epoch, or lanes of a stream."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

__all__ = ["EpochSampler", "LaneSampler"]

POOL = 50  # batches whose examples are sorted by their lengths together


class EpochSampler(Sampler[int]):
    """Indices of one process in one epoch: every `world`-th of a permutation that depends on `seed` and epoch only.

    The last `size % world` of the permutation are left out, so that every process makes as many steps. Where examples
    have `lengths` (size,), those of a `batch` (over all processes) are of about one length: each part of the
    permutation, of as many examples as POOL batches hold, is sorted by them, and its batches are put in random order.
    """

    def __init__(
        self, size: int, seed: int, rank: int = 0, world: int = 1, lengths: np.ndarray | None = None, batch: int = 1
    ) -> None:
        self.size, self.seed, self.rank, self.world = size, seed, rank, world
        self.lengths, self.batch = lengths, batch
        self.epoch = 0
        self.start = 0  # examples to leave out of the next epoch that is read

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.world

    def __iter__(self) -> Iterator[int]:
        entropy = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(entropy[0]))
        order = torch.randperm(self.size, generator=generator)
        if self.lengths is not None:
            order = self._by_length(order, torch.from_numpy(self.lengths), generator)
        start, self.start = self.start, 0
        return iter(order[: len(self) * self.world][self.rank :: self.world][start:].tolist())

    def _by_length(self, order: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Return the permutation with examples of about one length in each batch; the last, if smaller, stays last."""
        whole = self.size - self.size % self.batch
        parts = [part[lengths[part].argsort(stable=True)] for part in order[:whole].split(POOL * self.batch)]
        batches = torch.cat(parts).view(-1, self.batch) if parts else order[:0].view(0, self.batch)
        shuffled = batches[torch.randperm(len(batches), generator=generator)]
        return torch.cat([shuffled.flatten(), order[whole:]])


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
