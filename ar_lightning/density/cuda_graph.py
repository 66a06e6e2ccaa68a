"""The sampler's step on a GPU: captured once as a CUDA graph, and replayed for every site.

A step launches dozens of small kernels, and launching them takes longer than running them. A graph launches all at
once: it reads and writes the very tensors that it was captured with.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

from ar_lightning.density.machine_code import Code

__all__ = ["captured"]

WARM = 3  # runs before a capture, in which libraries set up what they need


def captured(step: nn.Module, tensors: Sequence[Tensor]) -> Code:
    """Return a step over tensors on a GPU, which it changes in place, as a graph; they are left as they were."""
    with torch.cuda.device(tensors[0].device):  # of several, streams are of the current one
        return _captured(step, tensors)


def _captured(step: nn.Module, tensors: Sequence[Tensor]) -> Code:
    before = [t.clone() for t in tensors]
    here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(WARM):
            step(*tensors)
            for t, kept in zip(tensors, before, strict=True):
                t.copy_(kept)
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # runs nothing; other threads use other GPUs
        step(*tensors)

    def run(given: Sequence[Tensor]) -> Any:
        assert all(map(is_, given, tensors))  # a graph knows no others
        return graph.replay()

    return run
