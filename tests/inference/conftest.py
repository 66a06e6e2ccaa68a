"""Which tests of what follows training are fast: those that need no runs, and a few that share a few runs."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for all the runs of a module; tests of each command train a few."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and {"runs", "trained"} & set(item.fixturenames):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.slow)
