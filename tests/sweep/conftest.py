"""What several tests of sweeps begin with."""

from pathlib import Path

import pytest

from tests.support.wandb_home import KEY, isolate
from tests.support.wandb_stub import WandbStub


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: WandbStub) -> pytest.MonkeyPatch:
    """This process in an empty home directory, with a key for the stand-in of W&B's server."""
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", stub.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return monkeypatch
