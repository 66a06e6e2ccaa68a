"""The bugs of `python -m tests.mutations` can still be planted, and there are tests to catch them."""

import subprocess
import sys

import pytest

from tests.mutations.bugs import BUGS, ROOT, Bug


@pytest.mark.parametrize("name", BUGS)
def test_the_line_is_there(name: str) -> None:
    bug = BUGS[name]
    assert bug.right in (ROOT / bug.file).read_text()
    assert bug.right != bug.wrong
    assert all((ROOT / file).exists() for file in bug.files)


def collected(which: str) -> list[str]:
    """Return the names of all tests of the files that bugs name."""
    files = sorted({file for bug in BUGS.values() for file in bug.files})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider", "-m", which]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def chosen(bug: Bug, tests: list[str]) -> bool:
    return any(test.startswith(tuple(bug.files)) and all(word in test for word in bug.words) for test in tests)


@pytest.mark.slow
def test_every_bug_has_tests_and_most_have_fast_ones() -> None:
    every, fast = collected("slow or not slow"), collected("not slow")
    assert [name for name, bug in BUGS.items() if not chosen(bug, every)] == []
    without = [name for name, bug in BUGS.items() if not chosen(bug, fast)]
    assert len(without) < 0.2 * len(BUGS), without
