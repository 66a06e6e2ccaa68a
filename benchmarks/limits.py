"""What the machine allows: the least seconds that a work can take, whatever the program.

The longest of three: its multiply-adds at the rate of a large matrix product, or of the same as a convolution where
that is faster; its bytes at the rate of a copy; its sigmoids at the rate of a vector of them that stays in the cache.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from ar_lightning.density.density import Density
from benchmarks.timing import seconds_of
from benchmarks.works import Work, multiply_adds

__all__ = ["rates", "sampling_limit", "training_limit"]

GEMM, GATES, MEMORY = 2048, 2**16, 2**28  # rows of a matrix; numbers; bytes


def best(call: Callable[[], Any], times: int = 5) -> float:
    call()
    return min(seconds_of(call) for _ in range(times))


@lru_cache
def multiply_add_rate(device: str, dtype: torch.dtype) -> float:
    """Return multiply-adds a second of a large matrix product, by the faster of PyTorch's libraries."""
    a = torch.randn(GEMM, GEMM, device=device, dtype=dtype)
    out = torch.empty_like(a)
    image = a.T[None, :, None]  # (1, GEMM, 1, GEMM), channels last
    kernel = a[..., None, None]
    ways = (lambda: torch.mm(a, a, out=out), lambda: F.conv2d(image, kernel))
    return float(GEMM**3 / min(best(way) for way in ways))


@lru_cache
def gate_rate(device: str) -> float:
    """Return sigmoids a second."""
    a = torch.randn(GATES if device == "cpu" else MEMORY // 4, device=device)
    out = torch.empty_like(a)
    repeated = 50

    def many() -> None:
        for _ in range(repeated):
            torch.sigmoid(a, out=out)

    return repeated * len(a) / best(many)


@lru_cache
def byte_rate(device: str, size: int) -> float:
    """Return bytes a second, read or written, in a copy of a buffer of `size` bytes, which the caches may hold."""
    a = torch.zeros(max(size // 4, 2**12), device=device)
    out, repeated = torch.empty_like(a), max(1, min(1000, MEMORY // max(size, 1)))

    def many() -> None:
        for _ in range(repeated):
            out.copy_(a)

    return repeated * 8 * len(a) / best(many)


def training_limit(work: Work, density: Density, device: str, dtype: torch.dtype) -> float:
    """Return the least seconds of a step: backward is twice forward; weights are read twice and gradients written."""
    adds, weights = multiply_adds(density), 4 * sum(p.numel() for p in density.parameters())
    return max(
        3 * adds * work.batch / multiply_add_rate(device, dtype),
        3 * weights / byte_rate(device, MEMORY if weights > 2**24 else weights),
        work.gates * work.batch / gate_rate(device),
    )


def sampling_limit(work: Work, density: Density, n: int, device: str, dtype: torch.dtype) -> float:
    """Return the least seconds of n samples at once, each weight being read wherever it is used."""
    adds, weights = multiply_adds(density), 4 * sum(p.numel() for p in density.parameters())
    return max(
        adds * n / multiply_add_rate(device, dtype), 4 * adds / byte_rate(device, weights),
        work.gates * n / gate_rate(device),
    )  # fmt: skip


def rates(device: str, dtype: torch.dtype) -> dict[str, float]:
    """Return what was measured of the machine, in 10^9 a second."""
    return {
        "multiply_adds": multiply_add_rate(device, dtype) / 1e9,
        "bytes": byte_rate(device, MEMORY) / 1e9,
        "sigmoids": gate_rate(device) / 1e9,
    }
