"""How many workers a sweep on one PostgreSQL server feeds: trials that do nothing, and all that a worker does for each.

What a worker costs its own machine, and what the server's, are counted apart: on a cluster each machine has its own
cores, and the server alone is shared.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from optuna.trial import TrialState
from sqlalchemy import make_url

from ar_lightning.sweep.storage import open_storage
from ar_lightning.sweep.study import join
from benchmarks.scale.crew import GO, read
from benchmarks.scale.hosts import SERVER, hosts
from benchmarks.sweeps import fill, sweep

__all__ = ["saturation"]

EACH = 4  # trials for each worker, on average
LEAST = 24  # trials, at least
PATIENCE = 1800.0  # seconds for all workers to be there


def saturation(url: str, workers: int, recorded: int, machines: int = 1) -> dict[str, Any]:
    """Run a sweep with so many workers on so many hosts, in a study that has so many trials already.

    Args:
        url: an empty database on this machine; with several hosts, its server listens on all addresses.
        workers: processes, shared out over the hosts.
        recorded: trials that are in the study before.
        machines: network namespaces, or 1 for this machine itself.

    Returns:
        Trials a second, seconds to claim one, CPU seconds of a trial at the worker and at the server, and how many
        trials were lost or done twice.
    """
    new = max(LEAST, EACH * workers)
    with _database(url) as own, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seen = own if machines == 1 else make_url(own).set(host=SERVER).render_as_string(hide_password=False)
        asked = sweep(folder, own, "random", recorded + new)
        study = join(asked, open_storage(own, folder))
        fill(study, recorded)
        (folder / "trials").mkdir()
        asked.storage = seen
        asked.save()
        with nullcontext([[]]) if machines == 1 else hosts(machines) as places:
            password = {"PGPASSWORD": make_url(own).password or os.environ.get("PGPASSWORD", "")}
            program = [sys.executable, "-m", "benchmarks.scale.crew", name]
            crews = [
                subprocess.Popen([*place, *program, f"host{k}", str(share)], env=os.environ | password)
                for k, (place, share) in enumerate(zip(places, _shares(workers, machines), strict=True))
            ]
            _wait_for(folder, workers, crews)
            server = _server_seconds(own)
            begun = time.time()
            (folder / GO).touch()
            if max(crew.wait() for crew in crews):
                raise RuntimeError("a worker has failed; what it said stands above")
            server = _server_seconds(own) - server
        done = read(folder)
        complete = [t.number for t in study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
    run = [number for worker in done for number in worker["trials"]]
    claims = np.array([seconds for worker in done for seconds in worker["claims"]])
    return {
        "workers": workers, "hosts": machines, "recorded": recorded, "trials": len(run),
        "trials_per_second": round(len(run) / (max(w["ended"] for w in done) - begun), 2),
        "claim_median": round(float(np.median(claims)), 4), "claim_99": round(float(np.quantile(claims, 0.99)), 4),
        "worker_cpu_per_trial": round(sum(w["worked"] for w in done) / len(run), 4),
        "server_cpu_per_trial": round(server / len(run), 4),
        "join_cpu": round(float(np.median([w["joined"] for w in done])), 3),
        "lost": recorded + new - len(set(complete)), "twice": len(run) - len(set(run)),
    }  # fmt: skip


@contextmanager
def _database(url: str) -> Iterator[str]:
    """Make a database of its own beside the one that is named, and drop it at the end."""
    name = f"scale_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def _shares(workers: int, machines: int) -> list[int]:
    return [(workers + k) // machines for k in range(machines)]


def _wait_for(folder: Path, workers: int, crews: list[Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob("*.ready"))) < workers:
        if any(crew.poll() for crew in crews) or time.monotonic() > deadline:
            raise RuntimeError("not all workers are there; what they said stands above")
        time.sleep(0.2)


def _server_seconds(url: str) -> float:
    """Return the CPU seconds that the server's processes have used so far, those that have ended among them."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        first = _stat(row[0])[1] if row else 0  # the parent of all its processes
        every = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    own = every[first]
    ticks = sum(own[11:15]) + sum(sum(stat[11:13]) for pid, stat in every.items() if stat and stat[1] == first)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int]:
    """Return the numbers of a process after its name: parent at 1, ticks at 11, those of ended children at 13."""
    try:
        words = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return []
    return [0, *map(int, words[1:])]
