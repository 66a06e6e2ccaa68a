"""Where a study is kept: a journal, one file that the processes of a machine share, or a PostgreSQL server.

A journal needs nothing but a folder; on a network file system it also serves a few machines. PostgreSQL serves a
cluster. Optuna is imported where it is used, so that a misspelt storage is answered at once.
"""

import importlib.util
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ar_lightning.errors import UserError, nearest
from ar_lightning.files import written

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileOpenLock

__all__ = ["JOURNAL", "check_storage", "mend_journal", "open_storage", "patiently", "shown"]

T = TypeVar("T")
JOURNAL = "journal.log"  # the file in the sweep's folder
EXAMPLE = "postgresql://USER@HOST/DATABASE"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
LOCK_GRACE = 10  # seconds after which the lock of an append, a matter of milliseconds, is that of a killed process;
# fewer than a worker's lease lasts, or one process killed at the wrong moment would make all others look dead
LIMITS = {  # of a connection, so that a server that has vanished is noticed before the lease of a worker is over
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,  # milliseconds
}
CREATING = 5_226_144_130  # the advisory lock under which tables are made; any number nobody else uses
LONGEST_PAUSE = 10.0  # seconds between attempts while the server is away


def check_storage(storage: str) -> None:
    """Refuse what can be seen to be no storage, without importing Optuna or opening anything.

    Raises:
        UserError: it is neither `journal` nor a PostgreSQL URL, or the package for PostgreSQL is not installed.
    """
    if storage == "journal":
        return
    where = f"storage={shown(storage)}"
    scheme, is_url, _ = storage.partition("://")
    if "sqlite" in scheme or storage.endswith((".db", ".sqlite", ".sqlite3")):
        raise UserError(
            f"{where}: SQLite runs the retry of a lost trial twice where workers are parallel; use journal, "
            f"or {EXAMPLE} for several machines"
        )
    if not is_url:
        hint = nearest(storage, ["journal"]) or f"; choose journal, or {EXAMPLE}"
        raise UserError(f"{where}: no such storage{hint}")
    if scheme not in SCHEMES:
        hint = nearest(scheme, ["postgresql"]) or f"; choose journal, or {EXAMPLE}"
        raise UserError(f"{where}: no storage of kind '{scheme}'{hint}")
    try:
        address = urlsplit(storage)
        legal = address.port != 0 and storage.count("@") == address.netloc.count("@") <= 1
    except ValueError:  # "p#ss@host": what seems to be a port is a piece of the password, so it is not shown
        legal = False
    if not legal:
        raise UserError(
            f"{where}: no such URL; the port is a number, and special characters in a password are percent-encoded, "
            "@ as %40, / as %2F, # as %23"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise UserError(f'{where}: needs the package psycopg: pip install -e ".[postgres]"')


def shown(storage: str) -> str:
    """Return the storage as it may be shown: without a password.

    Example:
        >>> shown("postgresql://ada:secret@db.example:5432/sweeps")
        'postgresql://ada:***@db.example:5432/sweeps'
        >>> shown("journal")
        'journal'
    """
    scheme, is_url, rest = storage.partition("://")
    hidden = f"{scheme}://{re.sub(':.*@', ':***@', rest)}" if is_url else re.sub(".*@", "***@", storage)
    return re.sub(r"(?i)(password=)[^&\s]*", r"\1***", hidden)


def open_storage(storage: str, folder: Path) -> "BaseStorage":
    """Open the storage, and create it where it is not there.

    Args:
        storage: `journal`, or the URL of a PostgreSQL database.
        folder: where the journal is kept.

    Raises:
        UserError: it cannot be opened; one line that says why, without the password.
    """
    check_storage(storage)
    return _journal(folder) if storage == "journal" else _postgres(storage)


def _journal(folder: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_writable(path)
        return JournalStorage(JournalFileBackend(str(path), _lock(path)))
    except OSError as error:
        raise UserError(f"storage=journal: {path}: {error.strerror or error}; choose another sweep_dir") from None
    except UserError:
        raise
    except Exception as error:  # Optuna replays what it reads: anything may come of a file that is no journal
        _check_records(path)
        raise UserError(f"storage=journal: {path} is no journal ({error}); choose another sweep_dir") from None


def _check_writable(path: Path) -> None:
    for needed in (path.parent, path):  # the folder too: a lock is made there for every append
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise UserError(f"storage=journal: {needed} is not writable; choose another sweep_dir")


def _lock(path: Path) -> "JournalFileOpenLock":
    """Return Optuna's lock of a journal: of its two kinds the one whose age is its own, not the journal's."""
    from optuna.storages.journal import JournalFileOpenLock

    return JournalFileOpenLock(str(path.absolute()), grace_period=LOCK_GRACE)


def _postgres(storage: str) -> "BaseStorage":
    try:
        import psycopg  # noqa: F401 - it may be there without the library it needs
        from optuna.storages import RDBStorage
        from sqlalchemy import NullPool, create_engine, make_url, text
        from sqlalchemy.exc import DBAPIError
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise UserError(f'storage={shown(storage)}: {reason}; try: pip install -e ".[postgres]"') from None

    url = make_url(storage).set(drivername="postgresql+psycopg")
    limits = {key: limit for key, limit in LIMITS.items() if key not in url.query}
    settings: dict[str, Any] = {"connect_args": limits}
    engine = create_engine(url, poolclass=NullPool, **settings)
    try:
        # Optuna looks whether its tables are there, then makes them: only one process at a time may do so.
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATING})
            full_url = url.render_as_string(hide_password=False)
            return RDBStorage(full_url, engine_kwargs={"pool_pre_ping": True, **settings})
    except DBAPIError as error:
        raise UserError(f"storage={shown(storage)}: {_explained(str(error.orig))}") from None
    except RuntimeError as error:  # the tables are those of another version of Optuna
        raise UserError(f"storage={shown(storage)}: {' '.join(str(error).split())}") from None


def _explained(reason: str) -> str:
    """Return what the server or the network said, with what to do about it, on one line."""
    said = re.sub("^.*failed: ", "", next(filter(None, reason.splitlines()), "no answer"))
    said = " ".join(said.removeprefix("FATAL:").split())
    hints = {
        "password": "check the user and the password in the URL, PGPASSWORD or ~/.pgpass",
        "database .* does not exist": "create it with createdb",
        "permission denied": "the user must be allowed to create tables there",
        "too many": "raise max_connections of the server",
    }
    hint = next((hint for cause, hint in hints.items() if re.search(cause, said)), None)
    return f"{said}; {hint or 'is the server running, and does it take connections from this machine?'}"


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
        _check_writable(path)
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


def _is_record(line: bytes) -> bool:
    """Whether it is one line of a journal, whole."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and "op_code" in record


def _check_records(path: Path) -> None:
    """Refuse a file in which a line other than the last is no record, or that does not begin like a journal."""
    damaged = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if damaged:
                raise UserError(
                    f"storage=journal: {path}: line {damaged} is damaged and others follow; remove it from a copy of "
                    "the file, or choose another sweep_dir"
                )
            if not _is_record(line):
                damaged = number
                begins = b'{"op_code":'
                if number == 1 and line[: len(begins)].rstrip(b"\0\n") != begins[: len(line.rstrip(b"\0\n"))]:
                    raise UserError(f"storage=journal: {path} is no journal; choose another sweep_dir")


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


def patiently(call: Callable[[], T], seconds: float) -> T:
    """Call, and call again after a growing pause while the server is away.

    A call whose connection broke may have been carried out: it should be one that can be made twice.

    Args:
        call: talks to the storage.
        seconds: how long to go on trying.

    Raises:
        Exception: what the call raised last, or at once if it is not that the server is away.
    """
    deadline, pause = time.monotonic() + seconds, 0.25
    while True:
        try:
            return call()
        except Exception as error:
            left = deadline - time.monotonic()
            if left <= 0 or not _is_away(error):
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _is_away(error: Exception) -> bool:
    """Whether the error is one of a server that cannot be reached, perhaps inside one of Optuna's."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))
