"""Two processes that share the weights of densities out, beside one process that does not: what a test compares."""

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ar_lightning.config.registry import OPTIMIZERS, make
from ar_lightning.config.schema import schema_of
from ar_lightning.density.density import Density
from ar_lightning.density.step import Step
from ar_lightning.training.sharded import gather, shard, whole
from tests.support.cases import SPECS, Case, defaults, random_values

STEPS, BATCH = 2, 6


def density(model: str) -> Density:
    return Case(model, "categorical", SPECS["colours"], {"layers": 2}).build()


def optimized(density: Density, optimizer: str, rank: int, world: int) -> list[Tensor]:
    """Take some steps on the rank's share of batches; return the validation scores and then all weights."""
    options = {"name": optimizer, **defaults(schema_of(OPTIMIZERS[optimizer])), "lr": 1e-3}
    chosen = make("optimizer", options, density.parameters())
    for t in range(STEPS):
        x = random_values(SPECS["colours"], BATCH, seed=t)[rank::world]
        density.loss(x, None, Step(t, 1, rank, world)).mean().backward()
        torch.nn.utils.clip_grad_norm_(density.parameters(), 0.5)
        chosen.step()
        chosen.zero_grad()
    gather(density)
    with torch.no_grad():
        batches = [random_values(SPECS["colours"], 5, seed=s) for s in range(1 + rank)]
        scores = [density.log_prob(x) for x in batches][0]  # noqa: RUF015 (all are scored)
        density.sample(1 + rank)  # however many: no process waits for another
    gather(density, on=False)
    return [scores, *(whole(p).detach() for p in density.parameters())]


def on_one_of_two(rank: int, folder: Path, cases: list[tuple[str, str]]) -> None:
    """Train each model by each optimizer as one of two processes; the first of them writes what comes of it."""
    results = {}
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    for model, optimizer in cases:
        sharded = density(model)
        numbers = sum(p.numel() for p in sharded.parameters())
        shard(sharded)
        assert all(isinstance(p, DTensor) for p in sharded.parameters())
        assert sum(p.to_local().numel() for p in sharded.parameters()) < 0.7 * numbers  # type: ignore[attr-defined]
        found = optimized(sharded, optimizer, rank, 2)
        results[model, optimizer] = found
    if not rank:
        torch.save(results, folder / "results.pt")
    dist.destroy_process_group()
