"""Which tests of what follows training are fast: those that need no runs, and a few that share a few runs."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for all the runs of a module as slow; tests of each command train a few."""
    for item in items:
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and {"runs", "trained"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
