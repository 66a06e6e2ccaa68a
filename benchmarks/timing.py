"""Timing in turn: a machine that slows down slows everything that is compared."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

__all__ = ["in_turn", "seconds_of"]


def seconds_of(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that a call takes, work on a GPU included, by a clock."""
    synchronise()
    start = clock()
    call()
    synchronise()
    return clock() - start


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turn(
    calls: Mapping[str, Callable[[], Any]], rounds: int, warm: int = 1, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median seconds of each call, called A B A B ..., after `warm` rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(warm + rounds):
        for name, call in calls.items():
            passed = seconds_of(call, clock)
            if i >= warm:
                seconds[name].append(passed)
    return {name: median(times) for name, times in seconds.items()}
