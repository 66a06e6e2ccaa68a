"""Running the command line in tests, in this process or in one of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ar_lightning.cli import main
from tests.support.forked import LIMIT, run_forked

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


def run_apart(*args: str, fresh: bool = False, **env: str) -> str:
    """Run a command in a process of its own, forked or from a fresh start, and return its output; it must succeed."""
    script = ROOT / "run.py"
    if fresh:
        command = [sys.executable, str(script), *args]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | env, timeout=LIMIT, check=False, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        code, output = done.returncode, done.stdout
    else:
        code, output = run_forked(script, *args, folder=ROOT, env=os.environ | env)
    assert code == 0, output
    return output


def killed_after(batches: int, *args: str) -> None:
    """Run a training in a process of its own that SIGKILL ends, as a power cut would, after a number of batches."""
    script = ROOT / "tests" / "support" / "killed.py"
    code, output = run_forked(script, str(batches), *args, folder=ROOT, env=os.environ)
    assert code == -signal.SIGKILL, output


def result(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "result.json").read_text())
