"""The machine that seconds were measured on, in words."""

import os
import platform
from collections import Counter
from pathlib import Path

__all__ = ["cores", "machine"]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(device: str | None = None) -> str:
    """Return processor, cores, threads of PyTorch, and GPUs, such as "AMD EPYC, 2 cores, 1 thread; NVIDIA H200".

    Args:
        device: what was computed on: GPUs that stood idle beside a CPU are left out; null for all there is.
    """
    import torch  # here: how many cores there are is asked before anything heavy is imported

    parts = [f"{_processor()}, {_counted(cores(), 'core')}, {_counted(torch.get_num_threads(), 'thread')}"]
    if device != "cpu":
        gpus = Counter(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        parts += [name if n == 1 else f"{n} x {name}" for name, n in gpus.items()]
    return "; ".join(parts)


def _processor() -> str:
    """Return the model of the processor; platform.processor() is empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), platform.processor() or platform.machine())


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
