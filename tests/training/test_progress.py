"""The seconds of a run go on where it is resumed."""

import pytest

from ar_lightning.training import progress
from ar_lightning.training.progress import Throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_all_seconds_are_of_every_process(clock: list[float]) -> None:
    clock[0] = 100.0
    first = Throughput(started=90.0)
    first.seconds = 7.0
    saved = first.state_dict()
    clock[0] = 5.0  # another process, whose clock began anew
    second = Throughput(started=3.0)
    second.load_state_dict(saved)
    assert (second.seconds, second.total_seconds) == (7.0, 12.0)


def test_a_checkpoint_without_a_total_counts_its_training(clock: list[float]) -> None:
    clock[0] = 5.0
    resumed = Throughput(started=3.0)
    resumed.load_state_dict({"seconds": 7.0})
    assert resumed.total_seconds == 9.0
