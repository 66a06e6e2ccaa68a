"""A run directory is written by one training at a time."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ar_lightning.core.errors import UserError

__all__ = ["LOCK", "claimed"]

LOCK = ".lock"  # names the process and its host; the system lets go of it when the process ends, however it does


@contextmanager
def claimed(run_dir: Path, resume: bool = False, patience: float = 0.0) -> Iterator[None]:
    """Hold a run directory, which is made if need be, so that no other training writes there.

    Args:
        run_dir: a new or empty directory, unless to `resume`. It goes again if nothing was written to it.
        resume: what is there is to be continued.
        patience: seconds to wait for a holder that is about to end.

    Raises:
        UserError: another training holds it, or has left files there in the meantime.
    """
    with _locked(run_dir / LOCK, time.monotonic() + patience):
        try:
            if not resume and any(path.name != LOCK for path in run_dir.iterdir()):
                raise UserError(f"run_dir={run_dir}: another training has just written there; name a new directory")
            yield
        finally:
            (run_dir / LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                run_dir.rmdir()


def _locked(path: Path, deadline: float) -> IO[str]:
    """Return the open file once this process has it locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            if time.monotonic() > deadline:
                what = f"another training writes there ({holder})"
                raise UserError(f"run_dir={path.parent}: {what}; wait for it, or name another directory") from None
            time.sleep(0.2)
            continue
        except OSError as error:
            print(f"{path.parent}: no locks here ({error.strerror}); see that no other training writes there")
            return file
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            with suppress(OSError):  # a full disk: it is held all the same, and what is written next says so
                os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
            return file
        file.close()  # its holder has just ended, and taken the file away
