"""What a sweep costs beside its trainings: `python -m benchmarks.sweeps [--out FILE]`; about two minutes.

A trial is a process; what the worker does between the end of one and the start of the next (telling the outcome,
looking for dead workers, asking the sampler, writing the config) keeps a GPU idle. It is measured by a real worker
whose trials end at once, with 100 trials in the study and a sign of life more often than it ever is. The sampler is
measured alone, in studies of 100 and 1,000 trials. PostgreSQL is measured where `--postgres URL` names a database.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from rich.console import Console
from rich.table import Table

from ar_lightning.config.registry import SAMPLERS
from ar_lightning.config.resolve import explicit_settings
from ar_lightning.sweep import worker as workers
from ar_lightning.sweep.child import Child
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.slots import Slot
from ar_lightning.sweep.space import suggest
from ar_lightning.sweep.storage import open_storage
from ar_lightning.sweep.study import join
from benchmarks import command

SPACE = {
    "optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "optimizer.eps": {"type": "float", "low": 1e-9, "high": 1e-6, "log": True},
    "optimizer.weight_decay": {"type": "float", "low": 0.0, "high": 0.1},
    "model.hidden": {"type": "int", "low": 16, "high": 1024, "log": True},
    "model.order_seed": {"type": "int", "low": 0, "high": 9},
    "data.batch_size": {"type": "int", "low": 16, "high": 128, "step": 16},
}
TRIALS = 20  # run by the worker
RECORDED = (100, 1000)
ASKED = {"gp": 3}  # trials that a slow sampler is asked for; others 11
# Says at once, through the two pipes that it inherits, that it has finished.
INSTANT = """
import os
_, write = map(int, os.environ["AR_LIGHTNING_TRIAL"].split(","))
os.write(write, b'{"state": "complete", "epochs": 1, "metrics": {"val/bpd": 1.5}}\\n')
"""


def sweep(folder: Path, storage: str, sampler: str, trials: int) -> Sweep:
    chosen = {"name": sampler, **({} if sampler == "grid" else {"seed": 0})}
    return Sweep(
        "conf/nade.yaml", explicit_settings("conf/nade.yaml"), SPACE, [{"metric": "val/bpd", "direction": "minimize"}],
        chosen, {"name": "median"}, study=f"overhead-{os.getpid()}-{time.time_ns()}", trials=trials, storage=storage,
        sweep_dir=str(folder), baseline=False,
    )  # fmt: skip


def fill(study: Study, count: int) -> None:
    """Add finished trials, spread over the space."""
    distributions: dict[str, Any] = {}
    for key, d in SPACE.items():
        kind = FloatDistribution if d["type"] == "float" else IntDistribution
        distributions[key] = kind(**{k: v for k, v in d.items() if k != "type"})
    sampler = optuna.samplers.RandomSampler(seed=0)
    points = optuna.create_study(sampler=sampler)
    trials = []
    for _ in range(count):
        params = points.ask(distributions).params
        value = 1 + abs(params["optimizer.weight_decay"])
        written = {"settings": params}  # as a worker does, or the study is taken for damaged
        trials.append(create_trial(params=params, distributions=distributions, value=value, user_attrs=written))
    study.add_trials(trials)


def overhead(folder: Path, storage: str, sampler: str, recorded: int) -> float:
    """Return the median seconds from the end of a trial's process to the start of the next."""
    asked = sweep(folder, storage, sampler, recorded + TRIALS)
    study = join(asked, open_storage(storage, folder))
    fill(study, recorded)
    (folder / "trials").mkdir(exist_ok=True)
    moments: list[tuple[float, float]] = []

    class Timed(Child):
        def __init__(self, *args: Any) -> None:
            self.started = time.perf_counter()
            super().__init__(*args)

        def wait(self, seconds: float | None = None) -> int:
            code = self.process.wait()
            moments.append((self.started, time.perf_counter()))
            return super().wait(seconds) or code

    with replaced(workers, "Child", Timed):
        command = [sys.executable, "-S", "-c", INSTANT]
        workers.Worker(asked, study, Slot(), command=lambda config, run_dir, resume: command).run()
    states = [t.state for t in study.get_trials(deepcopy=False)]
    assert states.count(TrialState.COMPLETE) == recorded + TRIALS
    return median(start - end for (_, end), (start, _) in pairwise(moments))


@contextmanager
def replaced(module: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def sampling(folder: Path, sampler: str, recorded: int) -> float:
    """Return the median seconds to ask for a trial and all its values."""
    asked = sweep(folder, "journal", sampler, 10**6)
    study = join(asked, open_storage("journal", folder))
    fill(study, recorded)
    seconds = []
    for _ in range(ASKED.get(sampler, 11)):
        start = time.perf_counter()
        trial = study.ask()
        suggest(asked.space, trial)
        seconds.append(time.perf_counter() - start)
        study.tell(trial, 2.0)
    return median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sweeps.json")
    parser.add_argument("--postgres", metavar="URL", help="an empty database to measure too")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "what": "seconds, medians", "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "optuna": optuna.__version__, "dimensions": len(SPACE), "outside_the_child": {}, "sampler": {},
    }  # fmt: skip
    for name, storage in {"journal": "journal", "postgresql": given.postgres}.items():
        if storage:
            with tempfile.TemporaryDirectory() as folder:
                result["outside_the_child"][name] = round(overhead(Path(folder), storage, "tpe", 100), 4)
    for sampler in SAMPLERS:
        if sampler != "grid":  # which samples nothing
            times = {}
            for recorded in RECORDED:
                with tempfile.TemporaryDirectory() as folder:
                    times[str(recorded)] = round(sampling(Path(folder), sampler, recorded), 4)
            result["sampler"][sampler] = times
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


def show(result: dict[str, Any]) -> None:
    table = Table("seconds", *(f"{n} trials" for n in RECORDED))
    for name, seconds in result["outside_the_child"].items():
        table.add_row(f"between two trials, {name}, tpe", f"{seconds:.3f}", "")
    for name, times in result["sampler"].items():
        table.add_row(f"sampler {name}", *(f"{s:.3f}" for s in times.values()))
    Console().print(table)


if __name__ == "__main__":
    command.run(main)
