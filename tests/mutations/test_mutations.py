"""The planted bugs of `python -m tests.mutations.bugs` can still be planted: the lines they change are there."""

import pytest

from tests.mutations.bugs import BUGS, ROOT


@pytest.mark.parametrize("name", BUGS)
def test_the_line_is_there(name: str) -> None:
    bug = BUGS[name]
    assert bug.right in (ROOT / bug.file).read_text()
    assert bug.right != bug.wrong
