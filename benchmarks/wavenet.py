"""Measure what WaveNet's rings and layout are worth: `python -m benchmarks.wavenet [--out FILE]`; about a minute.

Sampling: 24 layers as 3 stacks of 8 and as 2 stacks of 12, receptive fields of 766 and 8191 samples. With rings a
sample costs the same in both; a forward pass over the receptive field for every sample costs eleven times as much in
one as in the other. Training: against the equations of the paper, a `torch.nn.Conv1d` each. What is compared is timed
in turn (A B A B ...) on one core, in seconds of that core's time, and medians are reported: other work on the machine
counts for little.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ar_lightning.checkpoints import build_density
from ar_lightning.density import Density
from ar_lightning.spec import DataSpec

LEVELS, CHANNELS, SKIP, KERNEL = 256, 32, 64, 2
FIELDS = {766: (8, 3), 8191: (12, 2)}  # layers of a stack, stacks, by receptive field
BATCHES = (1, 16)
DRAWN = 256  # samples
TRAINED = (9, 2, 4, 4096)  # layers of a stack, stacks, batch, samples


class PlainWaveNet(nn.Module):
    """The paper's equations as they are usually written: channels before time, a convolution for each map."""

    def __init__(self, layers: int, stacks: int) -> None:
        super().__init__()
        self.dilations = [2**i for i in range(layers)] * stacks

        def convolutions(out: int, kernel: int = 1) -> Any:
            dilations = self.dilations if kernel > 1 else [1] * len(self.dilations)
            return nn.ModuleList(nn.Conv1d(CHANNELS, out, kernel, dilation=d) for d in dilations)

        self.embedding = nn.Embedding(LEVELS + 1, CHANNELS)
        self.filters, self.gates = convolutions(CHANNELS, KERNEL), convolutions(CHANNELS, KERNEL)
        self.residual, self.skip = convolutions(CHANNELS), convolutions(SKIP)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(SKIP, SKIP, 1), nn.ReLU(), nn.Conv1d(SKIP, LEVELS, 1))

    def forward(self, past: Tensor) -> Tensor:
        """Map the levels before each sample, `(B, T)`, to logits `(B, K, T)`."""
        x = self.embedding(past).transpose(1, 2)
        skips: Any = 0
        for i, d in enumerate(self.dilations):
            padded = F.pad(x, ((KERNEL - 1) * d, 0))
            z = torch.tanh(self.filters[i](padded)) * torch.sigmoid(self.gates[i](padded))
            skips = skips + self.skip[i](z)
            x = x + self.residual[i](z)
        logits: Tensor = self.head(skips)
        return logits


def density(layers: int, stacks: int, length: int) -> Density:
    model = {"name": "wavenet", "channels": CHANNELS, "skip": SKIP, "layers": layers, "stacks": stacks}
    return build_density({"model": model, "likelihood": {"name": "auto"}}, DataSpec((1, length), LEVELS))


def multiply_adds(layers: int, stacks: int) -> int:
    """Return the multiply-adds of one sample, all the layers before it being known."""
    per_layer = (2 * KERNEL + 1) * CHANNELS**2 + CHANNELS * SKIP
    return layers * stacks * per_layer + SKIP**2 + SKIP * LEVELS


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each call, after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if i:
                seconds[name].append(time.process_time() - start)
    return {name: median(times) for name, times in seconds.items()}


@torch.no_grad()
def sampling() -> list[dict[str, Any]]:
    """Draw samples with rings, and recompute the receptive field for a sample."""
    rings: dict[str, Callable[[], Any]] = {}
    recomputed: dict[str, Callable[[], Any]] = {}
    for field, (layers, stacks) in FIELDS.items():
        d = density(layers, stacks, DRAWN).eval()
        assert d.model.receptive_field == field
        for batch in BATCHES:
            window = torch.randint(1, LEVELS + 1, (batch, field, 1)).float()
            rings[f"{field}x{batch}"] = lambda d=d, n=batch: d.sample(n)
            recomputed[f"{field}x{batch}"] = lambda d=d, w=window: d.model.scan(w)[:, -1]
    drawn, again = in_turn(rings, rounds=7), in_turn(recomputed, rounds=5)
    rows = []
    for field, (layers, stacks) in FIELDS.items():
        for batch in BATCHES:
            step = multiply_adds(layers, stacks)
            rings_s, recomputed_s = drawn[f"{field}x{batch}"] / DRAWN, again[f"{field}x{batch}"]
            rows.append({
                "receptive_field": field, "layers": layers * stacks, "batch": batch,
                "samples_per_second": batch / rings_s, "recomputed_samples_per_second": batch / recomputed_s,
                "multiply_adds": step, "recomputed_multiply_adds": step * field,
            })  # fmt: skip
    return rows


def kept_for_backward(forward: Callable[[], Tensor]) -> int:
    """Return the bytes of the activations that a forward pass keeps for the backward pass."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = forward()
    assert loss.requires_grad  # the graph is alive until here, and no storage has been used again
    return sum(storages.values())


def training() -> dict[str, dict[str, float]]:
    """A forward and backward pass with its loss: of the network, of the whole density, and of the plain network."""
    layers, stacks, batch, length = TRAINED
    d, plain = density(layers, stacks, length), PlainWaveNet(layers, stacks)
    x = torch.randint(LEVELS, (batch, 1, length))
    past, targets = F.pad(x[:, 0, :-1] + 1, (1, 0)), x[:, 0].t().flatten()  # the network computes time first

    forwards: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: F.cross_entropy(d.model.scan(past[..., None].float()).transpose(0, 1).flatten(0, 1), targets),
        "ours, as a density": lambda: d.loss(x).mean(),
        "plain Conv1d": lambda: F.cross_entropy(plain(past), x[:, 0]),
    }
    steps = {name: lambda forward=forward: forward().backward() for name, forward in forwards.items()}
    seconds = in_turn(steps, rounds=9)
    return {n: {"seconds": seconds[n], "megabytes": kept_for_backward(forwards[n]) / 2**20} for n in forwards}


def main() -> None:
    """Run everything, print tables for the README, and write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wavenet", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "wavenet.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows, trained = sampling(), training()

    print("| receptive field, 24 layers | batch | samples/s | recomputed, samples/s | times faster | multiply-adds |")
    print("|---|---|---|---|---|---|")
    for r in rows:
        fast, slow = r["samples_per_second"], r["recomputed_samples_per_second"]
        adds = f"{r['multiply_adds'] / 1e6:.2f} M, not {r['recomputed_multiply_adds'] / 1e6:,.0f} M"
        print(f"| {r['receptive_field']} | {r['batch']} | {fast:,.0f} | {slow:,.1f} | {fast / slow:,.0f} | {adds} |")
    layers, stacks, batch, length = TRAINED
    print(f"\n| training step, {batch} x {length} samples, {layers * stacks} layers | seconds | MB kept for backward |")
    print("|---|---|---|")
    for name, t in trained.items():
        print(f"| {name} | {t['seconds']:.3f} | {t['megabytes']:,.0f} |")

    machine = {"cores": os.cpu_count(), "threads": 1, "processor": platform.machine()}
    measured = {"machine": machine, "torch": torch.__version__, "sampling": rows, "training": trained}
    args.out.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
