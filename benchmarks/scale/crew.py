"""The workers of one host of a sweep whose trials do nothing: `python -m benchmarks.scale.crew FOLDER HOST COUNT`.

Each is a process, forked once all is imported, with a connection of its own. It says that it is there by a file, starts
when the file `go` is there, and writes what it has done into another. A trial is all that a worker does for one, up to
the start of its training, and what comes after it.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna.storages
import psycopg
import sqlalchemy.dialects.postgresql.psycopg

from ar_lightning.core.files import write_json
from ar_lightning.sweep import worker as workers
from ar_lightning.sweep.definition import saved_sweep
from ar_lightning.sweep.slots import Slot
from ar_lightning.sweep.storage import open_storage
from ar_lightning.sweep.study import claim, join

__all__ = ["GO", "read"]

IMPORTED = (optuna.storages.RDBStorage, psycopg, sqlalchemy)  # before the fork, once for all workers of a host
GO = "go"
PAUSE = 0.05  # seconds between looks for the file


class Instant:
    """A trial that has finished as soon as it is started."""

    def __init__(self, *_: Any) -> None:
        pass

    def messages(self) -> Iterator[dict[str, Any]]:
        yield {"state": "complete", "epochs": 1, "metrics": {"val/bpd": 1.5}}

    def wait(self, seconds: float | None = None) -> int:
        return 0

    def stop(self) -> None:
        pass

    kill = stop


def work(folder: Path, name: str) -> None:
    """Be one worker, and write the numbers of its trials and the seconds that each claim took."""
    sweep = saved_sweep(folder)
    begun = time.process_time()
    study = join(sweep, open_storage(sweep.storage_url, folder))
    joined = time.process_time() - begun
    trials: list[int] = []
    seconds: list[float] = []

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        trial = claim(*args)
        if trial is not None:
            seconds.append(time.perf_counter() - start)
            trials.append(trial.number)
        return trial

    workers.Child, workers.claim = Instant, timed  # type: ignore[misc,assignment]
    write_json({}, folder / f"{name}.ready")
    while not (folder / GO).exists():
        time.sleep(PAUSE)
    begun = time.process_time()
    workers.Worker(sweep, study, Slot()).run()
    done = {"trials": trials, "claims": seconds, "joined": joined, "worked": time.process_time() - begun}
    write_json(done | {"ended": time.time()}, folder / f"{name}.json")


def main(folder: str, host: str, count: str) -> int:
    """Fork the workers and wait for them; return 1 if any failed."""
    children = []
    for k in range(int(count)):
        child = os.fork()
        if not child:
            code = 0
            try:
                work(Path(folder), f"{host}-{k}")
            except BaseException:
                traceback.print_exc()
                code = 1
            os._exit(code)
        children.append(child)
    return int(any(os.waitpid(child, 0)[1] for child in children))


def read(folder: Path) -> list[dict[str, Any]]:
    """Return what all workers have written."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*-*.json"))]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
