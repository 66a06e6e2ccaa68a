"""The devices and cores of this machine, asked of the system, so that a typo is answered without importing PyTorch."""

import ctypes.util
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

from ar_lightning.core.errors import UserError

__all__ = ["check_devices", "cores", "may_have"]

MOST = 4096  # devices of a machine


def check_devices(trainer: dict[str, Any]) -> None:
    """Refuse malformed device numbers, and an accelerator that this machine lacks."""
    accelerator, devices = trainer["accelerator"], trainer["devices"]
    numbers = [int(n) for n in re.findall(r"\d+", str(devices))]
    if isinstance(devices, str) and "," in devices:
        legal = re.fullmatch(r"\d+(,\d+)*,?", devices) and len(set(numbers)) == len(numbers)
    else:
        legal = str(devices) in ("auto", "-1") or (str(devices).isdecimal() and 0 < int(devices) <= MOST)
    if not legal:
        raise UserError(f"trainer.devices={devices}: expected a number of devices, a list such as '0,1', or auto")
    if accelerator == "cpu" and (str(devices) == "-1" or "," in str(devices)):
        raise UserError(f"trainer.devices={devices}: CPUs have no device numbers; give a number of processes")
    if not may_have(accelerator):
        raise UserError(f"trainer.accelerator={accelerator}: there is none on this machine; use auto or cpu")


def may_have(accelerator: str) -> bool:
    """Whether this machine may have the accelerator; asks the system, to spare a typo the import of PyTorch."""
    match accelerator:
        case "mps":
            return sys.platform == "darwin"
        case "tpu":
            return importlib.util.find_spec("torch_xla") is not None
        case "gpu" | "cuda" if sys.platform == "linux":
            nodes = ("nvidia[0-9]*", "dxg", "kfd")  # CUDA, CUDA under Windows, ROCm
            return any(any(Path("/dev").glob(n)) for n in nodes) or ctypes.util.find_library("cuda") is not None
    return True


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
