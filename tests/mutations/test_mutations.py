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


COLLECT = """
import sys, pytest

class Printed:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print("slow" if item.get_closest_marker("slow") else "fast", item.nodeid)

options = ["--collect-only", "-qq", "-n0", "-p", "no:cacheprovider", "-m", "slow or not slow"]
sys.exit(pytest.main([*options, *sys.argv[1:]], [Printed()]))
"""


def collected() -> list[tuple[str, str]]:
    """Return all tests of the files that bugs name: `slow` or `fast`, and the name."""
    files = sorted({file for bug in BUGS.values() for file in bug.files})
    command = [sys.executable, "-c", COLLECT, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    return [(kind, name) for kind, _, name in lines if kind in ("slow", "fast")]


def chosen(bug: Bug, tests: list[str]) -> bool:
    return any(test.startswith(tuple(bug.files)) and all(word in test for word in bug.words) for test in tests)


@pytest.mark.slow
def test_every_bug_has_tests_and_most_have_fast_ones() -> None:
    tests = collected()
    every, fast = [name for _, name in tests], [name for kind, name in tests if kind == "fast"]
    assert [name for name, bug in BUGS.items() if not chosen(bug, every)] == []
    without = [name for name, bug in BUGS.items() if not chosen(bug, fast)]
    assert len(without) < 0.2 * len(BUGS), without
