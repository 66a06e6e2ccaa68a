"""Every name that a config may use leads to a class or function that is there."""

import importlib

import pytest

from ar_lightning.config.registry import REGISTRIES, SWEEP_REGISTRIES
from ar_lightning.config.sections import DATA_MODULE, SECTIONS

TARGETS = [t for names in (REGISTRIES | SWEEP_REGISTRIES).values() for t in names.values()]


@pytest.mark.parametrize("target", [*TARGETS, *SECTIONS.values(), DATA_MODULE])
def test_a_registered_name_is_there(target: str) -> None:
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert callable(found) and found.__module__ == module
