"""The memory of a training step: weights, gradients, moments, and what the backward pass keeps of each example.

What is kept is counted by hooks on the tensors that autograd saves, for one example and for two, which gives any batch.
It is checked against real steps of a process of its own, whose peak grows with each image by what is kept and by the
values that live for a moment only.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from ar_lightning.density.density import Density
from benchmarks.scale.published import Sized, images, sized

__all__ = ["computed", "kept_bytes", "measured", "memory_of"]

CHECKED = (2, 5)  # images of the real steps


def memory_of(file: Path) -> dict[str, Any]:
    """Return the bytes of a config's step, and what each image adds to a real step here."""
    of = sized(file)
    batch = of.config["data"]["batch_size"]
    parts, peak = computed(of), measured(file)
    once = sum(size for name, size in parts.items() if name != "kept_each")
    step = {"step": once + batch * parts["kept_each"], "step_at_most": once + batch * max(peak, parts["kept_each"])}
    return {"config": file.stem, "batch": batch, **parts, "measured_each": peak, **step}


def computed(of: Sized) -> dict[str, int]:
    """Return the bytes of weights, gradients and moments, and of what is kept once and for each example."""
    weights = sum(p.numel() * p.element_size() for p in of.density.parameters())
    one, two = (kept_bytes(of.density, n) for n in (1, 2))
    of.step(images(1))
    state = [value for entry in of.optimizer.state.values() for value in entry.values() if torch.is_tensor(value)]
    moments = sum(value.numel() * value.element_size() for value in state)
    return {
        "weights": weights, "gradients": weights, "moments": moments, "kept_once": 2 * one - two, "kept_each": two - one
    }  # fmt: skip


def kept_bytes(density: Density, batch: int) -> int:
    """Return the bytes of all that autograd keeps for the backward pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in density.parameters()}
    found: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        density.loss(images(batch)).mean()
    return sum(storage.nbytes() for storage in found.values())


def measured(file: Path) -> int:
    """Return the bytes by which the peak of a process grows with each image of a real step."""
    program = [sys.executable, "-m", "benchmarks.scale.memory", str(file)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


def _growth(file: Path) -> int:
    of = sized(file)
    peaks = []
    for n in (1, *CHECKED):  # the first brings code, tables and moments
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        of.step(images(n))
        peaks.append(_resident("VmHWM"))
    return (peaks[2] - peaks[1]) // (CHECKED[1] - CHECKED[0])


def _resident(name: str) -> int:
    """Return the bytes of memory that `/proc` says this process has now, or has had at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(_growth(Path(sys.argv[1])))
