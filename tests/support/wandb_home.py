"""W&B in tests: processes of a user in an empty home directory, who sees the stand-in for its server and no other."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ar_lightning.tracking.wandb_run import ENVIRONMENT
from tests.support.wandb_stub import WandbStub

__all__ = ["KEY", "PATIENCE", "clean_environment", "isolate", "no_process_left", "python", "sync"]

KEY = "0" * 40
PATIENCE = 240  # seconds for a training of eight, on a busy machine
LIMITS = {  # W&B's own: what needs a server that answers fails of what it says, never of the time it takes
    "WANDB_INIT_TIMEOUT": str(PATIENCE),
    "WANDB_FINISH_TIMEOUT": str(PATIENCE),
    "WANDB_X_SERVICE_WAIT": str(PATIENCE),
}


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> pytest.MonkeyPatch:
    """Take the user's W&B settings from this process, and those of an earlier test; put it into an empty home."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it remembers the address of its server, which is dead by now
    for name in [*os.environ, *ENVIRONMENT]:
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.setenv(name, "")  # so that what is set during the test is undone after it
            monkeypatch.delenv(name)
    for name, limit in LIMITS.items():
        monkeypatch.setenv(name, limit)
    monkeypatch.setattr("ar_lightning.tracking.wandb_artifacts.PATIENCE", PATIENCE)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return monkeypatch


def clean_environment(home: Path, **environment: str) -> dict[str, str]:
    """Return the environment of a user whose home is `home`."""
    names = [k for k in os.environ if not k.startswith("WANDB_") and k not in ("NETRC", *ENVIRONMENT)]
    return {**{k: os.environ[k] for k in names}, "HOME": str(home), "OMP_NUM_THREADS": "1", **LIMITS, **environment}


def python(home: Path, *args: str, code: int = 0, **environment: str) -> str:
    """Run Python as a user whose home is `home`; return what it printed, after a look for processes it left behind."""
    done = subprocess.run(
        [sys.executable, *args], cwd=home, env=clean_environment(home, **environment), text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert no_process_left(home)
    return done.stdout


def sync(home: Path, output: str, server: WandbStub) -> None:
    """Do what the output of a training says, the server being back."""
    (line,) = [line for line in output.splitlines() if "wandb sync" in line]
    command = shlex.split(line[line.index("wandb sync") :])
    python(home, "-m", *command, WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)


def no_process_left(home: Path) -> bool:
    """Whether the processes with this home directory are gone, or go in a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not any(f"HOME={home}".encode() in environ.split(b"\0") for environ in environments()):
            return True
        time.sleep(0.2)
    return False


def environments() -> Iterator[bytes]:
    """Yield the environments of all processes."""
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            yield file.read_bytes()
        except OSError:  # it has ended, or is not ours
            continue
