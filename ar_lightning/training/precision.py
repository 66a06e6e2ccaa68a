"""The precision to compute in, where the machine has no arithmetic for the one that is asked for."""

from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info

__all__ = ["with_possible_precision"]


def with_possible_precision(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return the `trainer` section with float32 for bfloat16 that the processor only emulates, and say so in a line.

    PyTorch's CPU kernels are fast in bfloat16 with AVX-512 or later, or its equivalent; elsewhere a training step takes
    several times as long as in float32, and is less exact.
    """
    accelerator = trainer["accelerator"]
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    if trainer["precision"] != "bf16-mixed" or not on_cpu or _has_bfloat16():
        return trainer
    rank_zero_info("trainer.precision: this processor only emulates bf16-mixed, slowly; computing in 32-true")
    return trainer | {"precision": "32-true"}


def _has_bfloat16() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
