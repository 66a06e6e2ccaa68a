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


# Of those that start workers and trials, what the fast tests keep.
FAST = ("test_a_worker_that_is_killed_loses_one_trial_which_is_run_again", "test_trials_are_pruned_by_the_study")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start sweeps in processes of their own as slow, but for a few."""
    for item in items:
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and "sweep" in getattr(item, "fixturenames", ()) and item.name not in FAST:
            item.add_marker(pytest.mark.slow)
