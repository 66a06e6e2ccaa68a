"""A sweep on a real PostgreSQL server, as on several machines: two launchers, four workers, nothing else in common."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ar_lightning.sweep.study import outcome_of
from tests.support.postgres import PASSWORD, Postgres, postgres_server
from tests.support.stub_trial import EPOCHS, PAUSE
from tests.support.sweeping import Sweeping, assert_none_ran_twice_at_once, command_lines, ended, until

pytestmark = [pytest.mark.slow, pytest.mark.external]
SLOW = {PAUSE: "0.2", EPOCHS: "16"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def sweep(tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    monkeypatch.setenv("SWEEP_STORAGE", server.new_database())  # with its password, which no file may hold
    sweeping = Sweeping(tmp_path, {"storage": "${oc.env:SWEEP_STORAGE}", "trials": 6})
    yield sweeping
    sweeping.end()


def test_of_four_workers_that_race_to_reap_one_runs_the_retry(sweep: Sweeping) -> None:
    launchers = [sweep.start(**SLOW) for _ in range(2)]
    until(lambda: len(sweep.children()) == 4 and sum(t["what"] == "epoch" for t in sweep.traces()) > 8)
    busy = [t.user_attrs["worker"] for t in sweep.trials() if outcome_of(t) == "running" and "worker" in t.user_attrs]
    victims = [int(worker.rpartition(":")[2]) for worker in busy[:2]]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    for launcher in launchers:
        ended(launcher)
    outcomes = sweep.outcomes()
    assert sorted(outcomes) == ["complete"] * 6 + ["lost"] * 2
    retries = {t.user_attrs["retry_of"][-1]: t for t in sweep.trials() if "retry_of" in t.user_attrs}
    for number, retry in retries.items():
        lost = next(t for t in sweep.trials() if t.number == number)
        assert retry.params == lost.params and retry.intermediate_values.keys() == {*range(1, 17)}
    assert len(retries) == 2
    assert_none_ran_twice_at_once(sweep.traces())
    written = [p for p in sweep.out.rglob("*") if p.is_file() and p.suffix in (".yaml", ".log", ".txt", ".csv")]
    assert not any(os.environ["SWEEP_STORAGE"] in p.read_text() for p in written)


def test_a_server_that_restarts_costs_no_trial(sweep: Sweeping, server: Postgres) -> None:
    sweep.settings |= {"trials": 4, "lease": 8.0}
    launcher = sweep.start(**SLOW)
    until(lambda: sum(t["what"] == "epoch" for t in sweep.traces()) > 4)
    server.restart()
    ended(launcher)
    assert sweep.outcomes() == ["complete"] * 4
    assert_none_ran_twice_at_once(sweep.traces())


def test_a_password_on_the_command_line_is_written_nowhere(
    sweep: Sweeping, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, encoded = os.environ["SWEEP_STORAGE"], quote(PASSWORD, safe="")
    sweep.settings |= {"overrides": ["tracking.mode=offline"], "storage": "journal"}
    sweep.run(f"storage={address}", "trials=2")
    launcher = sweep.start(f"storage={address.replace(f':{encoded}', '')}?password={encoded}", "trials=4", **SLOW)
    until(lambda: len(sweep.children()) > 0)
    shown = [line for _, line in command_lines() if str(sweep.folder) in line]
    assert len(shown) > 2 and not any(encoded in line or PASSWORD in line for line in shown)
    ended(launcher)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)  # for this process to look
    assert [*sweep.out.rglob("run-*.wandb")] and sweep.outcomes() == ["complete"] * 4
    for path in sweep.out.rglob("*"):
        if path.is_file():
            content = path.read_text(errors="replace")
            assert encoded not in content and PASSWORD not in content, path
