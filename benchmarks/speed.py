"""Training steps, sampling and how it grows, in seconds, beside the references and the machine's limit."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ar_lightning.density.density import Density
from ar_lightning.training.callbacks import compile_model
from benchmarks.limits import sampling_limit, training_limit
from benchmarks.plain import PlainWaveNet
from benchmarks.timing import in_turn, seconds_of
from benchmarks.works import WORKS, Work, density_of

__all__ = ["Setup", "growth", "sampling", "start_up", "training", "wavenet_sampling"]

RUN = Path(__file__).parent.parent / "run.py"
FIRST_STEP = {"reference": "minimal", "ours": "ours"}  # of `benchmarks/first_step.py`
SIDES, BATCHES = (14, 28, 56), (1, 16, 100)
FIELDS = {187: (5, 6), 3070: (10, 3)}  # layers of a stack, stacks: 30 layers in all, by receptive field
DRAWN, RATE = 512, 8000  # samples of a recording, and those of a second


@dataclass(frozen=True)
class Setup:
    """Where it runs, and in which numbers.

    Args:
        device: `cpu` or `cuda`.
        bf16: networks compute in bfloat16 under autocast.
        quick: time each thing once, and no large work: to see that everything runs.
    """

    device: str = "cpu"
    bf16: bool = False
    quick: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.bf16 else torch.float32

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16) if self.bf16 else nullcontext()

    def rounds(self, n: int) -> int:
        return 1 if self.quick else n

    def build(self, work: Work) -> Density:
        return density_of(work).to(self.device)


def step_of(loss: Callable[[Tensor], Tensor], network: torch.nn.Module, x: Tensor, setup: Setup) -> Callable[[], None]:
    """Return a forward and backward pass of the mean loss of a network, whose gradients are made anew."""

    def step() -> None:
        network.zero_grad()
        with setup.autocast():
            mean = loss(x).mean()
        mean.backward()

    return step


def training(work: Work, setup: Setup) -> dict[str, float]:
    """Return the seconds of a training step of ours and of the reference, and the machine's limit."""
    assert work.plain
    density = setup.build(work).train()
    plain = work.plain(density).to(setup.device)
    if work.compiled:
        compile_model(density.model)
    x = work.examples(work.batch).to(setup.device)
    steps = {"reference": step_of(plain, plain, x, setup), "ours": step_of(density.loss, density, x, setup)}
    seconds = in_turn(steps, setup.rounds(9), warm=2)
    return {**seconds, "limit": training_limit(work, density, setup.device, setup.dtype)}


@torch.no_grad()
def sampling(work: Work, n: int, setup: Setup) -> dict[str, float]:
    """Return the seconds of n samples: streamed, by a full forward pass of the reference for each site, and the limit.

    A forward pass costs the same whatever the values are, so one is timed, and counted as often as there are sites.
    """
    density = setup.build(work).eval()
    plain = work.plain(density).to(setup.device) if work.plain else None
    x = work.examples(n).to(setup.device)
    steps = density.spec.dims if not density.likelihood.joint else density.spec.dims // density.spec.shape[0]

    def forward() -> None:
        with setup.autocast():
            density.log_prob(x) if plain is None else plain(x)

    def stream() -> None:
        with setup.autocast():
            density.sample(n)

    seconds = in_turn({"reference": forward, "ours": stream}, setup.rounds(3))
    limit = sampling_limit(work, density, n, setup.device, setup.dtype)
    return {"reference": steps * seconds["reference"], "ours": seconds["ours"], "limit": limit}


def growth(work: Work, setup: Setup) -> dict[str, dict[str, float]]:
    """Return the seconds of 16 samples by the side of an image, and of 28x28 pixels by the number of samples, once."""
    _drawn(work.at_side(SIDES[0]), 16, setup)  # to warm up
    sides = {str(side): _drawn(work.at_side(side), 16, setup) for side in SIDES[: 2 if setup.quick else 3]}
    batches = {str(n): _drawn(work.at_side(28), n, setup) for n in BATCHES}
    return {"side": sides, "batch": batches}


def _drawn(work: Work, n: int, setup: Setup) -> float:
    density = setup.build(work).eval()
    return seconds_of(lambda: density.sample(n))


@torch.no_grad()
def wavenet_sampling(setup: Setup) -> list[dict[str, float]]:
    """Return what a recording costs on one core, with 30 layers of 32 channels and two receptive fields.

    The reference computes the whole receptive field again for every sample.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for field, (layers, stacks) in FIELDS.items():
        model = {**WORKS["wavenet"].model, "layers": layers, "stacks": stacks}
        work = replace(WORKS["wavenet"], model=model, shape=(1, DRAWN))
        density = setup.build(work).eval()
        assert density.model.receptive_field == field
        plain = PlainWaveNet(density).to(setup.device)
        for n in BATCHES[:2]:
            window = torch.randint(work.levels, (n, field), device=setup.device)
            calls = {"reference": lambda w=window, p=plain: p.logits(w), "ours": lambda d=density, n=n: d.sample(n)}
            seconds = in_turn(calls, setup.rounds(5))
            limit = sampling_limit(work, density, n, setup.device, setup.dtype)
            rows.append({
                "receptive_field": field, "batch": n, "samples_per_second": n * DRAWN / seconds["ours"],
                "recomputed": n / seconds["reference"], "limit": n * DRAWN / limit,
                "real_time": DRAWN / seconds["ours"] / RATE,
            })  # fmt: skip
    torch.set_num_threads(threads)
    return rows


def start_up(setup: Setup) -> list[dict[str, Any]]:
    """Return the seconds of the answer to a misspelt key, and of all before the first optimizer step.

    The answer does not wait for Lightning, and a training not for more than the smallest of its Trainers does.
    """

    def run(*command: str, code: int = 0) -> Callable[[], Any]:
        def call() -> None:
            done = subprocess.run([sys.executable, *command], capture_output=True, check=False, cwd=folder, env=env)
            if done.returncode != code:  # what fails ends early, and would look fast
                raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")

        return call

    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPATH": str(RUN.parent)}
        answer = {"reference": run("-c", "import lightning.pytorch"), "ours": run(str(RUN), "model=naed", code=2)}
        step = {name: run("-m", "benchmarks.first_step", arg) for name, arg in FIRST_STEP.items()}
        return [
            {"work": work, **in_turn(calls, setup.rounds(3))}
            for work, calls in (
                ("answer to a misspelt key, beside importing Lightning", answer),
                ("first optimizer step of conf/nade.yaml, beside a minimal Trainer", step),
            )
        ]
