"""Where a result comes from: the machine that it was computed on, and the commit of the code."""

import platform
import subprocess
from collections import Counter
from pathlib import Path

import torch

from ar_lightning.config.devices import cores

__all__ = ["git_revision", "machine"]

# What `reproduce` itself writes: one row's result does not make the next one another program's.
WRITTEN = ("RESULTS.md", "benchmarks/results")


def machine(device: str | None = None) -> str:
    """Return processor, cores, threads of PyTorch, and GPUs, such as "AMD EPYC, 2 cores, 1 thread; NVIDIA H200".

    GPUs are left out if the device that was computed on is `cpu`.
    """
    parts = [f"{_processor()}, {_counted(cores(), 'core')}, {_counted(torch.get_num_threads(), 'thread')}"]
    if device != "cpu":
        gpus = Counter(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        parts += [name if n == 1 else f"{n} x {name}" for name, n in gpus.items()]
    return "; ".join(parts)


def _processor() -> str:
    """Return the name of the processor; on Linux, `platform.processor()` is empty."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), platform.processor() or platform.machine())


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def git_revision(folder: Path = Path(__file__).parent) -> str | None:
    """Return the commit of the code, with `-dirty` if files other than results have changed; None outside a checkout.

    A folder without tracked files, as where the package is installed, is outside.
    """
    revision, tracked = _git(folder, "rev-parse", "--short=12", "HEAD"), _git(folder, "ls-files", ".")
    if revision is None or revision.returncode or tracked is None or not tracked.stdout:
        return None
    others = [f":(top,exclude){path}" for path in WRITTEN]
    changes = _git(folder, "diff", "--quiet", "HEAD", "--", ":(top)", *others)
    return revision.stdout.strip() + ("-dirty" if changes is None or changes.returncode else "")


def _git(folder: Path, *command: str) -> subprocess.CompletedProcess[str] | None:
    """Run git; None if it is not installed or does not answer in time."""
    try:
        return subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
