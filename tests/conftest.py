"""Settings of every test: one thread here and in the processes it starts; threads only slow tiny work down."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported

from collections.abc import Iterator

import pytest

from tests.support.wandb_stub import WandbStub


@pytest.fixture
def stub() -> Iterator[WandbStub]:
    """A stand-in for W&B's server."""
    with WandbStub() as server:
        yield server
