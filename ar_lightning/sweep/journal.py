"""The journal of a sweep: one file of Optuna's that all processes append to, under a lock.

It survives power cuts: `mend_journal` removes an incomplete last record, to which Optuna would append the next.
"""

import json
import os
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ar_lightning.core.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileOpenLock

__all__ = ["JOURNAL", "mend_journal", "open_journal"]

JOURNAL = "journal.log"  # the file in the sweep's folder
BEGINS = b'{"op_code":'  # every record
LOCK_GRACE = 10  # seconds after which the lock of an append, a matter of milliseconds, is that of a killed process;
# fewer than a worker's lease lasts, or one process killed at the wrong moment would make all others look dead


def open_journal(path: Path) -> "JournalStorage":
    """Open a journal, or create it."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_file(path)
        return JournalStorage(JournalFileBackend(str(path), _lock(path)))
    except OSError as error:
        raise UserError(f"storage=journal: {path}: {error.strerror or error}; choose another sweep_dir") from None
    except UserError:
        raise
    except Exception as error:  # Optuna replays what it reads: anything may come of a file that is no journal
        _torn(path)
        raise UserError(f"storage=journal: {path} is no journal ({error}); choose another sweep_dir") from None


def mend_journal(path: Path) -> int:
    """Remove an incomplete last record from a journal, as a power cut or a full disk leaves it, and keep a copy.

    Optuna's readers skip it, but the next record would be appended to it, and both be lost. Call this before the
    workers start. Return the bytes removed: 0 if the journal is complete or does not exist.
    """
    try:
        if not path.exists():
            return 0
        _check_file(path)
        _torn(path)  # now: a damaged journal is not waited for
        lock = _lock(path)
        lock.acquire()
        try:
            if torn := _torn(path):
                shutil.copyfile(path, path.with_name(f"{path.name}.torn-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"))
                os.truncate(path, path.stat().st_size - torn)
        finally:
            with suppress(RuntimeError):  # somebody took it for abandoned
                lock.release()
    except OSError as error:
        raise UserError(f"storage=journal: {path}: {error.strerror or error}; choose another sweep_dir") from None
    return torn


def _check_file(path: Path) -> None:
    """Refuse a file that cannot be written, or that does not begin as a journal does."""
    for needed in (path.parent, path):  # the folder too: a lock is made there for every append
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise UserError(f"storage=journal: {needed} is not writable; choose another sweep_dir")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(len(BEGINS)).rstrip(b"\0")
        if not BEGINS.startswith(start):
            raise UserError(f"storage=journal: {path} is no journal; choose another sweep_dir")


def _lock(path: Path) -> "JournalFileOpenLock":
    """Return Optuna's lock of a journal, of the kind whose age is that of the lock file, not of the journal."""
    from optuna.storages.journal import JournalFileOpenLock

    return JournalFileOpenLock(str(path.absolute()), grace_period=LOCK_GRACE)


def _is_record(line: bytes) -> bool:
    """Return whether a line is a complete record."""
    with suppress(ValueError, RecursionError):
        return isinstance(record := json.loads(line), dict) and "op_code" in record
    return False


def _torn(path: Path) -> int:
    """Return the bytes of an incomplete last line, 0 if it is a record; refuse a damaged line before it."""
    damaged = torn = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if damaged:
                raise UserError(
                    f"storage=journal: {path}: line {damaged} is damaged and others follow; remove that line, "
                    "having made a copy of the file, or choose another sweep_dir"
                )
            if not line.endswith(b"\n"):  # the last, or one that is being written
                return len(line)
            if not _is_record(line):
                damaged, torn = number, len(line)
    return torn
