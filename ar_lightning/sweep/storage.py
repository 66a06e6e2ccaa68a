"""The storage of a study: a journal, which the processes of a machine share, or a PostgreSQL server.

A journal needs only a folder; on a network file system it also serves a few machines. PostgreSQL serves a cluster.
Optuna is imported where it is used, so that a misspelt storage is answered at once.
"""

import importlib.util
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.sweep.journal import JOURNAL, open_journal

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["check_storage", "open_storage", "patiently", "shown", "without_password"]

T = TypeVar("T")
EXAMPLE = "postgresql://USER@HOST/DATABASE"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
LIMITS = {  # of a connection, so that a server that has vanished is noticed before the lease of a worker is over
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,  # milliseconds
}
CREATING = 5_226_144_130  # the advisory lock under which tables are made; any number nobody else uses
PATIENCE = 600.0  # seconds that the server may be away
LONGEST_PAUSE = 10.0  # seconds between attempts while the server is away


def check_storage(storage: str) -> None:
    """Refuse a malformed storage without importing Optuna or opening anything."""
    if storage == "journal":
        return
    where = f"storage={shown(storage)}"
    scheme, is_url, _ = storage.partition("://")
    if "sqlite" in scheme or storage.endswith((".db", ".sqlite", ".sqlite3")):
        raise UserError(
            f"{where}: SQLite runs the retry of a lost trial twice where workers are parallel; use journal, "
            f"or {EXAMPLE} for several machines"
        )
    if not is_url or scheme not in SCHEMES:
        problem = f"no storage of kind '{scheme}'" if is_url else "no such storage"
        hint = nearest(scheme, ["postgresql" if is_url else "journal"]) or f"; choose journal, or {EXAMPLE}"
        raise UserError(f"{where}: {problem}{hint}")
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
    """Return the storage without its password, for messages.

    Example:
        >>> shown("postgresql://ada:secret@db.example:5432/sweeps")
        'postgresql://ada:***@db.example:5432/sweeps'
        >>> shown("journal")
        'journal'
    """
    scheme, is_url, rest = storage.partition("://")
    hidden = f"{scheme}://{re.sub(':.*@', ':***@', rest)}" if is_url else re.sub(".*@", "***@", storage)
    return re.sub(r"(?i)(password=)[^&\s]*", r"\1***", hidden)


def without_password(storage: str) -> tuple[str, str | None]:
    """Return the storage without its password, and the password, which PostgreSQL also finds in PGPASSWORD.

    Example:
        >>> without_password("postgresql://ada:se%2Fcret@db.example/sweeps?sslmode=require")
        ('postgresql://ada@db.example/sweeps?sslmode=require', 'se/cret')
        >>> without_password("postgresql://ada@db.example/sweeps?password=secret")
        ('postgresql://ada@db.example/sweeps', 'secret')
        >>> without_password("journal")
        ('journal', None)
    """
    try:
        address = urlsplit(storage)
    except ValueError:  # no URL, which `check_storage` says
        return storage, None
    account, at, host = address.netloc.rpartition("@")
    user, _, password = account.partition(":")
    asked = parse_qsl(address.query, keep_blank_values=True)
    kept = [(key, value) for key, value in asked if key != "password"]
    secret = dict(asked).get("password") or unquote(password)
    if not secret or "${" in storage:  # interpolated: it is in the environment already
        return storage, None
    query = address.query if len(kept) == len(asked) else urlencode(kept)
    return address._replace(netloc=f"{user}{at}{host}", query=query).geturl(), secret


def open_storage(storage: str, folder: Path) -> "BaseStorage":
    """Open the storage, or create it: a journal in the folder, or the PostgreSQL database of a URL.

    The error where it cannot be opened is one line, without the password.
    """
    check_storage(storage)
    if storage == "journal":
        return open_journal(folder / JOURNAL)
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
    """Return the message of the server or the network, with a hint, on one line."""
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


def patiently(call: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Call a function that talks to the storage, again and again after growing pauses while the server is away.

    The server may have carried out a call whose connection broke: it must be safe to make it twice.
    """
    deadline, pause = time.monotonic() + seconds, 0.25
    while True:
        try:
            return call()
        except Exception as error:  # raised again, but for those that say that the server is away
            left = deadline - time.monotonic()
            if left <= 0 or not _is_away(error):
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _is_away(error: Exception) -> bool:
    """Return whether the error, or the one that Optuna wrapped, says that the server cannot be reached."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))
