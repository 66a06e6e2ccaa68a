"""Scripts in processes that are forked from one that has imported PyTorch, which takes seconds: they begin at once."""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from unittest.mock import patch

LIMIT = 280.0  # seconds
IMPORTED = ["ar_lightning.training.fit", "ar_lightning.inference.open", "matplotlib.pyplot"]
ENVIRONMENT = dict(os.environ)  # as it is before a test changes it


def run_forked(script: Path, *args: str, folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Do as `python SCRIPT ARGS` in a folder would, in a process of its own; return exit code and output.

    Raises:
        TimeoutError: it hangs.
    """
    with tempfile.TemporaryDirectory() as there:
        output = Path(there) / "output"
        process = forking().Process(target=_run, args=(script, args, folder, dict(env), output))
        process.start()
        process.join(LIMIT)
        if process.exitcode is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            raise TimeoutError(output.read_text())
        return process.exitcode, output.read_text()


def forking() -> multiprocessing.context.ForkServerContext:
    """Return what starts processes, which are forked from one of this process's own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with patch.dict(os.environ, ENVIRONMENT, clear=True):
        forkserver.ensure_running()
    return context


def _run(script: Path, args: tuple[str, ...], folder: Path, env: dict[str, str], output: Path) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.argv = [str(script), *args]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
