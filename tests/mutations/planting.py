"""Plants a bug in a copy of the project and runs its tests there.

Each copy has a process of its own, forked from one that has imported all that no copy changes.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.mutations.bugs import ROOT, Bug

LIMIT = 300  # seconds: tests that hang have caught a bug
IMPORTED = ["pytest", "torch", "lightning.pytorch", "scipy.stats", "sklearn.datasets", "matplotlib.pyplot", "optuna"]
PASSED, FAILED, NONE = 0, 1, 5  # exit codes of pytest; any other means that the tests could not run


def caught(bug: Bug, fast: bool) -> bool:
    """Return whether a test fails once the bug is in a copy of the project.

    Raises:
        RuntimeError: the tests could not run, or none was chosen.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "runs", "*_cache", "__pycache__", "_build"))
        source = (copy / bug.file).read_text()
        if bug.right not in source:
            raise RuntimeError(f"{bug.file} no longer says: {bug.right}")
        (copy / bug.file).write_text(source.replace(bug.right, bug.wrong))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        process = context.Process(target=_run_tests, args=(copy, bug, fast))
        process.start()
        process.join(LIMIT)
        if process.exitcode is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            return True
        code = int((copy / "exit_code").read_text()) if (copy / "exit_code").exists() else None
        if code not in ((PASSED, FAILED, NONE) if fast else (PASSED, FAILED)):
            output = (copy / "output").read_text() if (copy / "output").exists() else ""
            raise RuntimeError(f"pytest ended with {code}: {output[-3000:]}")
        return code == FAILED


def _run_tests(copy: Path, bug: Bug, fast: bool) -> None:
    """Run a bug's tests in this process, as if it had been started in the copy."""
    import pytest

    os.setsid()
    os.chdir(copy)
    output = os.open("output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "ar_lightning", "benchmarks")]:
        del sys.modules[name]
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    only = ["-k", " and ".join(bug.words)] if bug.words else []
    which = "not slow" if fast else "slow or not slow"
    code = pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", "-m", which, *bug.files, *only])
    (copy / "exit_code").write_text(str(int(code)))
