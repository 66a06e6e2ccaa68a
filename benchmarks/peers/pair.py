"""The same work, done by a peer and by ours, and what it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity, profile

from ar_lightning.density.density import Density
from ar_lightning.training.optim import adam
from benchmarks.works import Work, density_of

__all__ = ["Pair", "Training", "peak_bytes", "sampled", "scored", "size_of", "stepped", "trained"]

Call = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """What is timed of a peer, and of ours, for the same work.

    Args:
        work: the model and its size.
        part: `training step`, `scoring` or `sampling`.
        examples: how many at once.
        theirs, ours: do it once.
        parameters: of theirs and of ours; those that are masked in theirs, and not there in ours, are not counted.
        often: how often the peer's `sample` does what is timed of it, such as a forward pass for each pixel.
        apart: by how much of ours the parameters may differ, where the architectures do.
    """

    work: str
    part: str
    examples: int
    theirs: Call
    ours: Call
    parameters: tuple[int, int]
    often: int = 1
    apart: float = 0.02

    def __post_init__(self) -> None:
        theirs, ours = self.parameters
        assert abs(theirs - ours) <= self.apart * ours, f"{self.work}: {theirs:,} parameters are not {ours:,}"


@dataclass(frozen=True)
class Training:
    """A training step and what it consists of: the loss of a batch, a network and its optimizer."""

    loss: Callable[[], Tensor]
    network: nn.Module
    optimizer: Optimizer
    clip: float | None = None

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()


def trained(work: Work, optimizer: Callable[..., Optimizer] = adam, clip: float | None = None) -> Training:
    """Return a training step of ours, on random examples, with an optimizer as configs make it."""
    density, x = density_of(work).train(), work.examples(work.batch)
    return Training(lambda: density.loss(x).mean(), density, optimizer(density.parameters()), clip)


def stepped(work: Work, theirs: Training, ours: Training, parameters: int | None = None, apart: float = 0.02) -> Pair:
    """Return the pair of two training steps; `parameters` are those of theirs that are not masked."""
    sizes = parameters or size_of(theirs.network), size_of(ours.network)
    return Pair(work.title, "training step", work.batch, theirs, ours, sizes, apart=apart)


def scored(pair: Pair) -> Pair:
    """Return the pair of what both training steps begin with, without gradients and dropout."""

    def alone(training: Any) -> Call:
        @torch.inference_mode()
        def score() -> None:
            training.network.eval()
            training.loss()
            training.network.train()

        return score

    return Pair(
        pair.work, "scoring", pair.examples, alone(pair.theirs), alone(pair.ours), pair.parameters, apart=pair.apart
    )


def size_of(network: nn.Module) -> int:
    """Return the number of parameters, without those that a mask of the same shape takes out."""
    masked = 0
    for module in network.modules():
        mask = getattr(module, "mask", None)
        if isinstance(module, nn.Conv2d) and isinstance(mask, Tensor):
            masked += int((mask == 0).sum())
    return sum(p.numel() for p in network.parameters()) - masked


def peak_bytes(call: Call) -> int:
    """Return the most memory that a call allocates on the CPU at any moment, beside what there was, in bytes."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    results: Any = recorded.profiler.kineto_results  # type: ignore[union-attr]
    changes = [(e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]"]
    now = most = 0
    for _, change in sorted(changes, key=lambda event: event[0]):
        now += change
        most = max(most, now)
    return most


def sampled(pair: Pair, density: Density, theirs: Call, n: int, often: int = 1) -> Pair:
    """Return the pair of drawing n examples, with networks of the sizes of another pair."""
    return Pair(pair.work, "sampling", n, theirs, lambda: density.sample(n), pair.parameters, often, pair.apart)
