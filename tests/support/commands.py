"""Running the command line in tests, in this process or in one of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ar_lightning.cli import main

ROOT = Path(__file__).parents[2]
QUICK = [  # two batches of everything, and nothing sent or drawn that takes time
    "trainer.max_epochs=1", "trainer.limit_train=2", "trainer.limit_val=2", "trainer.limit_test=2",
    "trainer.accelerator=cpu", "trainer.devices=1", "trainer.log_every=1", "trainer.val_every=1", "samples.n=4",
    "tracking.mode=disabled",
]  # fmt: skip


def run_here(*args: str) -> int:
    """Run a command in this process, from the root of the project."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return main(args)
    finally:
        os.chdir(before)


def start(*args: str, **env: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    command = [sys.executable, str(ROOT / "run.py"), *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def run_apart(*args: str, **env: str) -> str:
    """Run a command in a process of its own and return its output; it must succeed."""
    process = start(*args, **env)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return output


def killed_after(batches: int, *args: str) -> None:
    """Run a training in a process of its own that SIGKILL ends, as a power cut would, after a number of batches."""
    command = [sys.executable, "-m", "tests.support.killed", str(batches), *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def result(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "result.json").read_text())
