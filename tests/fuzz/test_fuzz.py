"""Damaged inputs of every kind, to every command that reads them: `python -m tests.fuzz` says more."""

import subprocess
import sys

import pytest

from tests.fuzz.targets import TARGETS
from tests.support.commands import ROOT


@pytest.mark.slow
def test_every_damaged_input_is_answered() -> None:
    """In a process of its own, which forks for each input, and has run nothing of PyTorch."""
    assert sum(inputs for _, inputs in TARGETS.values()) >= 500
    command = [sys.executable, "-m", "tests.fuzz"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-30_000:]
    print(done.stdout)
