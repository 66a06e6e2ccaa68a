"""Past one machine: what is counted is counted right, and a sweep of many workers loses and doubles nothing."""

from pathlib import Path

import pytest

from benchmarks.scale.memory import computed, kept_bytes
from benchmarks.scale.published import CIFAR10, flops_of, sized
from benchmarks.scale.report import tables
from benchmarks.scale.sweeps import saturation
from benchmarks.scale.training import efficiency, ring_bytes, training_of
from tests.support.postgres import postgres_server


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A PixelCNN of CIFAR-10 that takes no time."""
    file = tmp_path / "small.yaml"
    file.write_text("model:\n  name: pixelcnn\n  hidden: 2\n  layers: 1\n  head: 3\ndata:\n  name: cifar10\n")
    return file


def test_the_configs_of_cifar10_are_there() -> None:
    assert len(CIFAR10) >= 5


def test_what_is_kept_grows_with_the_batch(small: Path) -> None:
    of = sized(small)
    parts = computed(of)
    weights = 4 * sum(p.numel() for p in of.density.parameters())
    assert parts["weights"] == parts["gradients"] == weights
    assert 2 * weights <= parts["moments"] < 3 * weights, "Adam's two, and its counts of steps"
    assert kept_bytes(of.density, 5) == pytest.approx(parts["kept_once"] + 5 * parts["kept_each"], rel=0.01)
    assert flops_of(of.density) > 3 * 2 * 32 * 32 * weights // 8, "three passes, at a kernel's visible half at least"


def test_sums_cost_what_a_ring_sends() -> None:
    assert ring_bytes(1, 100) == 0 and ring_bytes(2, 100) == 100 and ring_bytes(8, 100) == 175
    assumed = {"operations_per_second": 1.0, "bytes_per_second_within": 1.0, "bytes_per_second_between": 0.5,
               "hidden": 0.5}  # fmt: skip
    waiting, hiding = efficiency(2, 100.0, 100, assumed)
    assert waiting == 0.5 and hiding == 100 / 150
    assert efficiency(2, 1000.0, 100, assumed)[1] == 1.0
    assert efficiency(64, 100.0, 100, assumed)[0] < efficiency(8, 100.0, 100, assumed)[0] < 0.5


@pytest.mark.slow
def test_two_processes_sum_all_gradients(small: Path) -> None:
    row = training_of(small)
    assert row["summed_bytes"] == row["gradient_bytes"] > 0
    assert "| small |" in tables({"training": [row]})


@pytest.mark.slow
def test_workers_lose_and_double_nothing() -> None:
    with postgres_server() as server:
        row = saturation(server.new_database(), workers=3, recorded=5)
    assert (row["lost"], row["twice"], row["trials"]) == (0, 0, 24)
    assert "| 3 | 1 | 5 | 24 |" in tables({"sweeps": [row]})
