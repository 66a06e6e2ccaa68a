"""Storages of sweeps: shared by processes, whatever kills them; wrong ones are refused in a line without a password."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from ar_lightning.commands import sweep as command
from ar_lightning.core.errors import UserError
from ar_lightning.sweep import storage as storages
from ar_lightning.sweep.journal import JOURNAL, mend_journal
from ar_lightning.sweep.storage import check_storage, open_storage, patiently, shown
from tests.support.postgres import PASSWORD, Postgres, free_port, postgres_server

optuna.logging.set_verbosity(optuna.logging.WARNING)
SECRET = "hunter2"
PROCESSES = get_context("forkserver")  # they import Optuna once
PROCESSES.set_forkserver_preload(["optuna.storages", "sqlalchemy.dialects.postgresql.psycopg", __name__])


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


POSTGRESQL = [pytest.mark.slow, pytest.mark.external]


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=POSTGRESQL)])
def storage(request: pytest.FixtureRequest) -> str:
    return "journal" if request.param == "journal" else request.getfixturevalue("server").new_database()


def race(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Call a function in several processes at the same moment; return what it returned, or raised."""
    results, barrier = PROCESSES.SimpleQueue(), PROCESSES.Barrier(count)
    processes = [PROCESSES.Process(target=_racer, args=(results, function, barrier, *args)) for _ in range(count)]
    for process in processes:
        process.start()
    returned = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return returned


def _racer(results: Any, function: Callable[..., Any], *args: Any) -> None:
    try:
        results.put(function(*args))
    except Exception as error:
        results.put(repr(error))


def opens(barrier: Any, storage: str, folder: Path) -> int:
    barrier.wait()
    return len(open_storage(storage, folder).get_all_studies())


def fails_trials(barrier: Any, storage: str, folder: Path, trials: int) -> list[int]:
    """Tell every trial in turn that it failed; return those for which nobody had done so before."""
    study = optuna.load_study(study_name="s", storage=open_storage(storage, folder))
    won = []
    for number in range(trials):
        barrier.wait()
        try:
            study.tell(number, state=TrialState.FAIL)
            won.append(number)
        except (ValueError, RuntimeError):
            pass
    return won


def asks(barrier: Any, storage: str, folder: Path) -> int:
    study = optuna.load_study(study_name="s", storage=open_storage(storage, folder))
    barrier.wait()
    return study.ask().number


def asks_or_mends(barrier: Any, folder: Path) -> int:
    """Ask for many trials; one of the processes looks after the journal meanwhile. Return the bytes it dropped."""
    study = optuna.load_study(study_name="s", storage=open_storage("journal", folder))
    if barrier.wait() == 0:
        return sum(mend_journal(folder / JOURNAL) for _ in range(40))
    for _ in range(40):
        study.ask()
    return 0


def adds_a_trial(barrier: Any, storage: str, folder: Path) -> None:
    study = optuna.load_study(study_name="s", storage=open_storage(storage, folder))
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    trial.set_user_attr("lease", 12.5)
    trial.report(3.0, 1)
    study.tell(trial, 2.0)


def study_in(storage: str, folder: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(storage, folder))


def test_what_another_process_wrote_is_there(storage: str, tmp_path: Path) -> None:
    study = study_in(storage, tmp_path)
    assert race(1, adds_a_trial, storage, tmp_path) == [None]
    for seen in (study, optuna.load_study(study_name="s", storage=open_storage(storage, tmp_path))):
        (trial,) = seen.get_trials()
        assert (trial.value, trial.user_attrs, trial.intermediate_values) == (2.0, {"lease": 12.5}, {1: 3.0})


def test_an_empty_storage_may_be_opened_by_all_at_once(storage: str, tmp_path: Path) -> None:
    assert race(4, opens, storage, tmp_path / "new") == [0] * 4


def test_one_process_alone_tells_that_a_trial_failed(storage: str, tmp_path: Path) -> None:
    study, trials = study_in(storage, tmp_path), 5
    for _ in range(trials):
        study.ask()
    won = race(8, fails_trials, storage, tmp_path, trials)
    assert sorted(number for numbers in won for number in numbers) == list(range(trials)), won


def test_one_process_alone_gets_what_is_enqueued(storage: str, tmp_path: Path) -> None:
    study = study_in(storage, tmp_path)
    study.enqueue_trial({"x": 1.0})
    assert sorted(race(8, asks, storage, tmp_path)) == list(range(8))


@pytest.mark.slow
@pytest.mark.external
def test_patience_outlasts_a_restart(server: Postgres, tmp_path: Path) -> None:
    study = study_in(server.new_database(), tmp_path)
    study.ask()
    server.stop()
    back = threading.Timer(1.0, server.start)
    back.start()
    try:
        with pytest.raises((OperationalError, optuna.exceptions.StorageInternalError)):
            patiently(study.get_trials, 0.4)
        assert len(patiently(study.get_trials, 60)) == 1
    finally:
        back.join()
    server.restart()
    assert patiently(study.ask, 60).number == 1  # a connection that broke meanwhile is replaced


def test_patience_is_for_servers_alone() -> None:
    calls = []
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: calls.append(1 / len(calls)), 60)
    assert patiently(lambda: 7, 0) == 7


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of three trials, of which the last has an attribute."""
    folder = tmp_path_factory.mktemp("journal")
    study = study_in("journal", folder)
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, 1.0)
    study.set_user_attr("note", "größer")
    return (folder / JOURNAL).read_bytes()


def test_a_whole_journal_stays_as_it_is(tmp_path: Path, journal: bytes) -> None:
    path = tmp_path / JOURNAL
    assert mend_journal(path) == 0 and not list(tmp_path.iterdir())
    for content in (journal, b""):
        path.write_bytes(content)
        assert mend_journal(path) == 0
        assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_a_journal_cut_anywhere_in_its_last_line(tmp_path: Path, journal: bytes) -> None:
    start = journal.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(start + 1, len(journal)):
        path = tmp_path / str(cut) / JOURNAL
        path.parent.mkdir()
        path.write_bytes(journal[:cut])
        assert mend_journal(path) == cut - start
        assert path.read_bytes() == journal[:start]
        (backup,) = set(path.parent.iterdir()) - {path}
        assert backup.name.startswith(f"{JOURNAL}.torn-") and backup.read_bytes() == journal[:cut]
    study = optuna.load_study(study_name="s", storage=open_storage("journal", path.parent))
    study.ask()
    assert len(study.get_trials()) == 4 and mend_journal(path) == 0


REST = [
    b"\0" * 4096,
    b"\0" * 100 + b"\n",
    b'{"op_code":4,"worker\n',
    b"\0" * 50 + b'er_id":"w"}\n',
    b"17\n",
    b"\xff\xfe",
]


@pytest.mark.parametrize("rest", REST)
def test_whatever_follows_the_last_record_is_dropped(tmp_path: Path, journal: bytes, rest: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(journal + rest)
    assert mend_journal(path) == len(rest) and path.read_bytes() == journal


@pytest.mark.parametrize("rest", [b"{", b'{"op_c', b'{"op_code":0,"wor', b"\0" * 512])
def test_a_journal_that_ends_in_its_first_line(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(rest)
    assert mend_journal(path) == len(rest) and path.read_bytes() == b""


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, journal: bytes) -> None:
    path = tmp_path / JOURNAL
    lines = journal.splitlines(keepends=True)
    damaged = b"".join([*lines[:2], lines[2][:9] + lines[3], *lines[4:]])  # an append after one that was torn
    path.write_bytes(damaged)
    for attempt in (lambda: mend_journal(path), lambda: open_storage("journal", tmp_path)):
        with pytest.raises(UserError, match=f"{JOURNAL}: line 3 is damaged"):
            attempt()
    assert path.read_bytes() == damaged and list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:The value of `grace_period`")
def test_the_lock_of_a_killed_process_does_not_hang(
    tmp_path: Path, journal: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ar_lightning.sweep.journal.LOCK_GRACE", 0.5)
    path, lock = tmp_path / JOURNAL, tmp_path / f"{JOURNAL}.lock"
    path.write_bytes(journal[:-1])
    lock.touch()
    assert mend_journal(path) > 0 and not lock.exists()


def test_the_lock_of_a_living_process_is_waited_for(tmp_path: Path, journal: bytes) -> None:
    path, lock = tmp_path / JOURNAL, tmp_path / f"{JOURNAL}.lock"
    path.write_bytes(journal[:-9])
    lock.touch()

    def finish() -> None:
        with path.open("ab") as file:  # the append that holds the lock: the line was not torn, but being written
            file.write(journal[-9:])
        lock.unlink()

    threading.Timer(0.5, finish).start()
    assert mend_journal(path) == 0 and path.read_bytes() == journal


def test_a_journal_may_be_looked_after_while_others_write(tmp_path: Path) -> None:
    study = study_in("journal", tmp_path)
    assert race(3, asks_or_mends, tmp_path) == [0] * 3
    assert len(study.get_trials()) == 80 and {p.name for p in tmp_path.iterdir()} == {JOURNAL}


WORDS = {
    "jornal": "did you mean 'journal'",
    "Journal": "did you mean 'journal'",
    "redis": "choose journal, or postgresql://",
    "": "choose journal",
    f"postgresl://me:{SECRET}@host/db": "did you mean 'postgresql'",
    f"mysql://me:{SECRET}@host/db": "no storage of kind 'mysql'; choose journal, or postgresql://",
    f"redis://:{SECRET}@host": "no storage of kind 'redis'",
    "sqlite:///sweep.db": "retry of a lost trial twice where workers are parallel; use journal",
    "sweep.db": "use journal",
    f"postgresql:/me:{SECRET}@host/db": "no such storage",
    f"host=db user=me password={SECRET}": "no such storage",
    f"postgresql://me:{SECRET}@host:port/db": "the port is a number",
    f"postgresql://me:{SECRET}@host:0/db": "the port is a number",
    f"postgresql://me:a@{SECRET}@host/db": "percent-encoded",
    f"postgresql://me:1#{SECRET}@host/db": "percent-encoded",
    f"postgresql://me:1/{SECRET}@host/db": "percent-encoded",
    f"postgresql://me:1?{SECRET}@host/db": "percent-encoded",
}


@pytest.mark.parametrize("word", WORDS)
def test_what_is_no_storage_is_refused(word: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_storage(word)
    message = str(refusal.value)
    assert message.startswith("storage=") and WORDS[word] in message
    assert SECRET not in message and "\n" not in message


@pytest.mark.parametrize("scheme", storages.SCHEMES)
def test_the_password_is_not_shown(scheme: str) -> None:
    assert shown(f"{scheme}://me:{SECRET}@host:5/db") == f"{scheme}://me:***@host:5/db"
    assert SECRET not in shown(f"{scheme}://me@host/db?sslmode=require&password={SECRET}&sslpassword={SECRET}")
    assert shown(f"{scheme}://me@host/db") == f"{scheme}://me@host/db"


def test_an_answer_needs_neither_optuna_nor_a_database() -> None:
    code = (
        "import sys; from ar_lightning.sweep.storage import check_storage; check_storage('journal'); "
        "check_storage('postgresql://me@host/db'); "
        "sys.exit(bool({'optuna', 'sqlalchemy', 'psycopg', 'torch'} & set(sys.modules)))"
    )
    pytest.importorskip("psycopg")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("given", "bare"),
    [
        (f"postgresql://me:{SECRET}@host:5/db", "postgresql://me@host:5/db"),
        (f"'postgres://me:{SECRET}@host/db'", "postgres://me@host/db"),
        (f"postgresql://host/db?user=me&password={SECRET}", "postgresql://host/db?user=me"),
        ("postgresql://me:hunter%32@host/db", "postgresql://me@host/db"),
    ],
)
def test_a_password_leaves_the_command_line(given: str, bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    started: list[Any] = []
    monkeypatch.setattr(command.os, "execve", lambda *args: started.append(args))
    monkeypatch.setattr(command.sys, "orig_argv", ["python", "run.py", "sweep", f"storage={given}", "trials=3"])
    command._hide_password([f"storage={given}", "trials=3"])
    [(program, argv, env)] = started
    assert (program, argv) == (sys.executable, ["python", "run.py", "sweep", f"storage={bare}", "trials=3"])
    assert env["PGPASSWORD"] == SECRET and SECRET not in " ".join(argv)


@pytest.mark.parametrize("given", ["journal", "postgresql://me@host/db", "postgresql://me:${oc.env:X}@host/db"])
def test_without_a_password_nothing_starts_again(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.os, "execve", lambda *args: pytest.fail("started again"))
    monkeypatch.setattr(command.sys, "orig_argv", ["python", "run.py", "sweep", f"storage={given}"])
    command._hide_password([f"storage={given}"])


def test_postgresql_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[postgres\]"'):
        check_storage(f"postgresql://me:{SECRET}@host/db")


def refused(storage: str, folder: Path) -> str:
    """Return the line with which a storage that cannot be opened is refused."""
    with pytest.raises(UserError) as refusal:
        open_storage(storage, folder)
    message = str(refusal.value)
    assert message.startswith(f"storage={shown(storage)}: ") and "\n" not in message
    assert SECRET not in message and PASSWORD not in message
    return message


@pytest.mark.slow
@pytest.mark.external
def test_a_server_that_says_no(server: Postgres, tmp_path: Path) -> None:
    assert 'database "nowhere" does not exist; create it' in refused(server.url("nowhere"), tmp_path)
    assert "authentication failed for user" in refused(server.url("postgres", SECRET), tmp_path)
    assert "password supplied; check" in refused(server.url("postgres", None), tmp_path)
    server.execute(f"CREATE USER guest PASSWORD '{SECRET}'")
    address = server.url("postgres", None).replace("sweep@", f"guest:{SECRET}@")
    server.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "permission denied" in refused(address, tmp_path)


@pytest.mark.slow
@pytest.mark.external
def test_the_password_may_come_from_the_environment(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.new_database()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    for scheme in storages.SCHEMES:
        url = server.url(f"sweeps{server.count}", None).replace("postgresql", scheme)
        assert open_storage(url, tmp_path).get_all_studies() == []


def test_no_server(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    for host in (f"127.0.0.1:{free_port()}", f"localhost:{free_port()}"):
        assert "is the server running" in refused(f"postgresql://me:{SECRET}@{host}/db", tmp_path)


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://me:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"
        assert "timeout" in refused(address, tmp_path)


def test_a_journal_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "choose another sweep_dir" in refused("journal", tmp_path / "file")
    assert "choose another sweep_dir" in refused("journal", tmp_path / "file" / "below")
    (tmp_path / "folder" / JOURNAL).mkdir(parents=True)
    assert "choose another sweep_dir" in refused("journal", tmp_path / "folder")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert "is not writable; choose another sweep_dir" in refused("journal", tmp_path)


@pytest.mark.parametrize("content", ["Dear diary", "Dear diary,\nit rains.\n", "{}\n[]\n", '{"op_codes":9}\n'])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / JOURNAL
    path.write_text(content)
    with pytest.raises(UserError, match="is no journal"):
        mend_journal(path)
    assert "is no journal" in refused("journal", tmp_path)
    assert path.read_text() == content


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"op_code":99,"worker_id":"w"}\n')
    assert "is no journal" in refused("journal", tmp_path)
