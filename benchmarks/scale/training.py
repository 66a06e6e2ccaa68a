"""DDP past one machine: a step with one and with two processes here, and what that says of 8 and 64 GPUs.

Gradients are summed by a ring: each process sends and receives `2 (n - 1) / n` of their bytes, as large as the weights.
The seconds of a GPU's step are computed from its multiply-adds at a rate that is assumed, as are the links.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from benchmarks.scale.published import flops_of, images, sized

__all__ = ["ASSUMED", "efficiency", "ring_bytes", "training_of"]

ASSUMED = {
    "operations_per_second": 100e12,  # of a GPU in bfloat16: a tenth of what one of 2023 is sold with
    "bytes_per_second_within": 300e9,  # that each GPU sends while all of a machine sum
    "bytes_per_second_between": 50e9,  # the same of several machines with a 400 Gbit/s card for each GPU
    "hidden": 2 / 3,  # of the step is the backward pass, behind which sums hide
}
STEPS = 3
IMAGES = 1  # of each process


def training_of(file: Path) -> dict[str, Any]:
    """Return seconds of a step with 1 and 2 processes, one image each, and what is expected of 8 and 64 GPUs."""
    of = sized(file)
    weights = sum(p.numel() for p in of.density.parameters()) * 4
    batch, flops = of.config["data"]["batch_size"], flops_of(of.density)
    with tempfile.TemporaryDirectory() as folder:
        alone, both = (_steps(file, n, Path(folder)) for n in (1, 2))
    gpus = {"8, the batch shared out": (8, batch // 8), "8": (8, batch), "64": (64, batch)}  # and images of each
    return {
        "config": file.stem, "batch": batch, "gradient_bytes": weights, "flops_per_image": flops,
        "seconds_1": alone["seconds"], "seconds_2": both["seconds"], "summed_bytes": both["bytes"],
        "expected": {name: efficiency(n, each * flops, weights) for name, (n, each) in gpus.items()},
    }  # fmt: skip


def ring_bytes(n: int, size: int) -> float:
    """Return the bytes that each of n processes sends to sum `size` bytes."""
    return 2 * (n - 1) / n * size


def efficiency(n: int, flops: float, size: int, assumed: dict[str, float] = ASSUMED) -> tuple[float, float]:
    """Return the share of n GPUs' time that is spent computing: where sums wait for the step, and where they hide."""
    link = "bytes_per_second_within" if n <= 8 else "bytes_per_second_between"
    step, sums = flops / assumed["operations_per_second"], ring_bytes(n, size) / assumed[link]
    return step / (step + sums), step / (step + max(0.0, sums - assumed["hidden"] * step))


def _steps(file: Path, processes: int, folder: Path) -> dict[str, float]:
    """Return the median seconds of a step, and the bytes of the gradients that are summed in it."""
    out = folder / f"{processes}.json"
    mp.start_processes(
        _process, (str(file), processes, str(folder / f"meet-{processes}"), str(out)), processes, start_method="spawn"
    )
    found: dict[str, float] = json.loads(out.read_text())
    return found


def _process(rank: int, file: str, processes: int, meet: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=processes)
    of = sized(Path(file))
    parallel = DistributedDataParallel(_Loss(of.density))
    summed: list[int] = []

    def counted(group: Any, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        summed.append(bucket.buffer().nbytes)
        return allreduce_hook(group, bucket)

    if processes > 1:
        parallel.register_comm_hook(None, counted)
    seconds = []
    for _ in range(1 + STEPS):
        summed.clear()
        dist.barrier()
        start = time.perf_counter()
        of.optimizer.zero_grad()
        parallel(images(IMAGES)).backward()
        of.optimizer.step()
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        Path(out).write_text(json.dumps({"seconds": median(seconds[1:]), "bytes": sum(summed)}))
    dist.destroy_process_group()


class _Loss(torch.nn.Module):
    """The objective as a module, which is what DDP takes."""

    def __init__(self, density: torch.nn.Module) -> None:
        super().__init__()
        self.density = density

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.density.loss(x).mean()  # type: ignore[operator]
        return loss
