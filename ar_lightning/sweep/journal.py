"""The journal: one file that the processes of a sweep append to, under a lock, and that survives power cuts.

Optuna's own: `mend_journal` only removes what a power cut leaves of a last record, which Optuna would build on.
"""

import json
import os
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written

if TYPE_CHECKING:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileOpenLock

__all__ = ["JOURNAL", "mend_journal", "open_journal"]

JOURNAL = "journal.log"  # the file in the sweep's folder
BEGINS = b'{"op_code":'  # every record
LOCK_GRACE = 10  # seconds after which the lock of an append, a matter of milliseconds, is that of a killed process;
# fewer than a worker's lease lasts, or one process killed at the wrong moment would make all others look dead


def open_journal(path: Path) -> "JournalStorage":
    """Open a journal, and create it where it is not there.

    Raises:
        UserError: it cannot be read and written, or is no journal.
    """
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
        _check_records(path)
        raise UserError(f"storage=journal: {path} is no journal ({error}); choose another sweep_dir") from None


def mend_journal(path: Path) -> int:
    """Drop what a power cut, or a full disk, left of a last record in a journal, and keep a copy of it as it was.

    A reader of Optuna's skips such a rest, but the next record would be appended to it, and both be lost. For whoever
    starts a sweep, before the workers do.

    Returns:
        Bytes dropped: 0 where the journal is whole, or not there.

    Raises:
        UserError: a record before the last one is damaged, which names its line, or the file is no journal.
    """
    try:
        if not path.exists():
            return 0
        _check_file(path)
        _check_records(path)
        lock = _lock(path)
        _break_abandoned(lock, path.with_name(path.name + ".lock"))
        lock.acquire()
        try:
            torn = _torn(path)
            if torn:
                _truncate(path, torn)
        finally:
            with suppress(RuntimeError):  # somebody took it for abandoned
                lock.release()
    except OSError as error:
        raise UserError(f"storage=journal: {path}: {error.strerror or error}; choose another sweep_dir") from None
    return torn


def _check_file(path: Path) -> None:
    """Refuse a file that cannot be written, or that does not begin like a journal, be it one that was cut short."""
    for needed in (path.parent, path):  # the folder too: a lock is made there for every append
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise UserError(f"storage=journal: {needed} is not writable; choose another sweep_dir")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(len(BEGINS)).rstrip(b"\0")
        if not BEGINS.startswith(start):
            raise UserError(f"storage=journal: {path} is no journal; choose another sweep_dir")


def _lock(path: Path) -> "JournalFileOpenLock":
    """Return Optuna's lock of a journal: of its two kinds the one whose age is its own, not the journal's."""
    from optuna.storages.journal import JournalFileOpenLock

    return JournalFileOpenLock(str(path.absolute()), grace_period=LOCK_GRACE)


def _is_record(line: bytes) -> bool:
    """Whether it is one line of a journal, whole."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and "op_code" in record


def _check_records(path: Path) -> None:
    """Refuse a file in which a line other than the last is no record."""
    damaged = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if damaged:
                raise UserError(
                    f"storage=journal: {path}: line {damaged} is damaged and others follow; remove that line, "
                    "having made a copy of the file, or choose another sweep_dir"
                )
            if not line.endswith(b"\n"):  # the last, or one that is being written
                return
            if not _is_record(line):
                damaged = number


def _torn(path: Path) -> int:
    """Return the size in bytes of a last line that is no record; 0 if it is one."""
    last = b""
    with path.open("rb") as file:
        for line in file:
            last = line
    return 0 if not last or _is_record(last) else len(last)


def _truncate(path: Path, torn: int) -> None:
    """Shorten a file by so many bytes, once a copy is safely on the disk."""
    with written(path.with_name(f"{path.name}.torn-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")) as backup:
        shutil.copyfile(path, backup)
        _sync(backup)
    _sync(path.parent)
    os.truncate(path, path.stat().st_size - torn)
    _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _break_abandoned(lock: "JournalFileOpenLock", file: Path) -> None:
    """Remove a lock that is too old to be held; without this, whoever comes first waits for as long again."""
    with suppress(FileNotFoundError), TemporaryFile(dir=file.parent) as probe:  # on the clock of the file system
        if os.fstat(probe.fileno()).st_mtime - file.lstat().st_mtime > LOCK_GRACE:
            with suppress(RuntimeError):  # another one was faster
                lock.release()
