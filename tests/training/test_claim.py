"""One training at a time writes to a run directory, on whichever process; what holds it is named."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from ar_lightning.commands.fit import _new_run_dir
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.training.claim import LOCK, claimed
from tests.support.commands import QUICK, ROOT, run_here

HOLD = """
import sys, time
from pathlib import Path
from ar_lightning.training.claim import claimed
with claimed(Path(sys.argv[1]), resume=True):
    print("held", flush=True)
    time.sleep(600)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_claim_names_the_first(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with (
        claimed(run),
        pytest.raises(UserError, match=rf"another training writes there \(process {os.getpid()} on "),
        claimed(run),
    ):
        pass
    assert not run.exists(), "nothing was written"
    with claimed(run):
        (run / "config.yaml").touch()
    assert list(contents(run)) == ["config.yaml"]
    with pytest.raises(UserError, match="another training has just written there"), claimed(run):
        pass
    with claimed(run, resume=True):
        pass


def test_a_full_disk_does_not_keep_a_claim_from_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written next says which file there was no room for."""
    monkeypatch.setattr(os, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with claimed(tmp_path, resume=True), pytest.raises(UserError, match="another process"), claimed(tmp_path, True):
        pass


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=env)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"process {holder.pid} on "), claimed(tmp_path, resume=True):
        pass
    holder.send_signal(signal.SIGKILL)
    with claimed(tmp_path, resume=True, patience=60.0):
        assert f"process {os.getpid()} on " in (tmp_path / LOCK).read_text()
    assert holder.wait() != 0 and not contents(tmp_path)


def test_a_directory_that_is_written_to_is_no_other_training_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new training, and one that is resumed: exit code 2, a line, and nothing changes."""
    done, new = tmp_path / "done", tmp_path / "new"
    options = ["model=independent", *QUICK]
    assert run_here(*options, f"run_dir={done}") == 0
    before = contents(done)
    for args, run in ((["--resume", str(done), "trainer.max_epochs=2"], done), ([*options, f"run_dir={new}"], new)):
        capsys.readouterr()
        with claimed(run, resume=True):
            assert run_here(*args) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert "another training writes there" in line and str(run) in line
    assert contents(done) == before and not new.exists()


def test_trainings_of_the_same_second_have_directories_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None, ["model=nade"])
    assert len({_new_run_dir(config) for _ in range(4)}) == 4
