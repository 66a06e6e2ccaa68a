"""A real PostgreSQL server for tests: on this machine alone, in a temporary folder, with password authentication."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

__all__ = ["PASSWORD", "Postgres", "free_port", "postgres_server"]

PASSWORD = "p@ss:w%rd/#?"  # every character that can break a URL


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """A server that can be stopped and started again; the superuser is called `sweep`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.count = folder, free_port(), 0

    def run(self, program: str, *args: str) -> None:
        """Run a program of PostgreSQL, as a user who is not root: it refuses to be."""
        user = pwd.getpwnam(_user() or "") if os.getuid() == 0 else None
        other: Any = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        command = [str(_program(program)), *args]
        with (self.folder / "programs.log").open("ab") as log:
            done = subprocess.run(command, cwd=self.folder, stdout=log, stderr=log, check=False, **other)
        assert done.returncode == 0, (program, (self.folder / "programs.log").read_text())

    def create(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        given = ["--auth=scram-sha-256", "--username=sweep", f"--pwfile={password}", "--locale=C", "--encoding=UTF8"]
        self.run("initdb", "--no-sync", f"--pgdata={self.folder / 'data'}", *given)

    def start(self) -> None:
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "shared_buffers": "16MB", "max_connections": "60",
        }  # fmt: skip
        options = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
        log = str(self.folder / "server.log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def stop(self) -> None:
        """End it as a crash would: its connections break."""
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.folder / "data"))

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, database: str, password: str | None = PASSWORD) -> str:
        user = "sweep" if password is None else f"sweep:{quote(password, safe='')}"
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        self.count += 1
        self.execute(f"CREATE DATABASE sweeps{self.count}")
        return self.url(f"sweeps{self.count}")


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Run a server, or skip where PostgreSQL or psycopg is not installed.

    Each user, such as a worker of pytest-xdist, has one of its own: they share neither folder nor port.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if _program("pg_ctl") is None or _program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if os.getuid() == 0 and _user() is None:
        pytest.skip("PostgreSQL does not run as root, and there is no other user here")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not under pytest's, which no other user may enter
    server = Postgres(folder)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _user(), pwd.getpwnam(str(_user())).pw_gid)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    """Return the path of a program; Debian keeps them outside the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)


def _user() -> str | None:
    """Return the name of a user other than root."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)
