"""Files are whole or not there, whoever else writes them."""

import os
from pathlib import Path

import pytest

from ar_lightning.core.files import written


def test_of_two_processes_that_write_a_file_the_last_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    with written(path) as first:
        first.write_text("the first")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with written(path) as second:
            second.write_text("2")
            assert first.read_text() == "the first"
        assert path.read_text() == "2"
    assert path.read_text() == "the first" and list(tmp_path.iterdir()) == [path]


def test_who_is_alone_writes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / "a.txt.partial"
    left.write_text("half")
    with written(tmp_path / "a.txt", alone=True) as partial:
        assert partial == left
        partial.write_text("whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]
