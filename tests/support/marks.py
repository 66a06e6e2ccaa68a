"""Which tests of a parametrised one are fast."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["slow_but"]


def slow_but(fast: Collection[Any], values: Iterable[Any]) -> list[Any]:
    """Return the values to run a test with, marked as slow except for a few."""
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]
