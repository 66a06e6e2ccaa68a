"""The bugs of `python -m tests.mutations` can still be planted, and there are tests to catch them."""

import os
from pathlib import Path

import pytest

from tests.mutations.bugs import BUGS, ROOT, Bug
from tests.support.forked import run_forked


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


def collected(folder: Path) -> list[tuple[str, str]]:
    """Return all tests of the files that bugs name: `slow` or `fast`, and the name."""
    script = folder / "collect.py"
    script.write_text(COLLECT)
    files = sorted({file for bug in BUGS.values() for file in bug.files})
    code, output = run_forked(script, *files, folder=ROOT, env=os.environ)
    assert code == 0, output
    lines = (line.partition(" ") for line in output.splitlines())
    return [(kind, name) for kind, _, name in lines if kind in ("slow", "fast")]


def chosen(bug: Bug, tests: list[str]) -> bool:
    return any(test.startswith(tuple(bug.files)) and all(word in test for word in bug.words) for test in tests)


@pytest.mark.slow
def test_every_bug_has_tests_and_most_have_fast_ones(tmp_path: Path) -> None:
    tests = collected(tmp_path)
    every, fast = [name for _, name in tests], [name for kind, name in tests if kind == "fast"]
    assert [name for name, bug in BUGS.items() if not chosen(bug, every)] == []
    without = [name for name, bug in BUGS.items() if not chosen(bug, fast)]
    assert len(without) < 0.2 * len(BUGS), without
