"""A trial that trains nothing: it speaks the protocol, takes its time, leaves traces, and fails where it is told to.

The real thing needs seconds to import PyTorch; what workers and launchers do can be tested a hundred times faster.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

from ar_lightning.config.resolve import load_config, save_config
from ar_lightning.training.trial_pipe import attach

CRASHES, HANGS, TAKES_ITS_WORKER_DOWN = 13, 17, 19  # values of model.hidden
EPOCHS = "STUB_EPOCHS"
PAUSE = "STUB_PAUSE"  # seconds an epoch


def command(config: Path, run_dir: Path, resume: bool) -> list[str]:
    """The command line of a trial, for a worker."""
    return [sys.executable, "-m", "tests.support.stub_trial", str(config), str(run_dir), str(resume)]


def value(lr: float, epoch: int) -> float:
    """A smooth curve with its optimum at lr=1e-3."""
    return 1 + (math.log10(lr) + 3) ** 2 + 1 / epoch


def main() -> None:
    config_file, run_dir, resume = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"
    pipe = attach(0)
    assert pipe is not None
    config = load_config(run_dir / "config.yaml" if resume else config_file)
    note(run_dir, "start", config["optimizer"]["lr"])
    if not resume:
        save_config(config, run_dir / "config.yaml")
    last = run_dir / "epoch"
    done = int(last.read_text()) if last.exists() else 0
    match config["model"]["hidden"]:
        case int(hidden) if hidden == CRASHES:
            print("RuntimeError: out of memory")
            sys.exit(1)
        case int(hidden) if hidden == TAKES_ITS_WORKER_DOWN:
            os.kill(os.getppid(), 9)
    state = "complete"
    epoch = done
    metrics = {"val/bpd": value(config["optimizer"]["lr"], epoch)} if epoch else {}
    for epoch in range(done + 1, int(os.environ.get(EPOCHS, "3")) + 1):
        time.sleep(float(os.environ.get(PAUSE, "0.02")))
        metrics = {"val/bpd": value(config["optimizer"]["lr"], epoch), "val/nll": 1.0}
        prune = pipe.report(epoch, metrics)
        last.write_text(str(epoch))
        note(run_dir, "epoch", epoch)
        if prune:
            state = "pruned"
            break
    note(run_dir, "end", state)
    pipe.finish(state, epoch, {**metrics, "parameters": config["model"]["hidden"]})


def note(run_dir: Path, what: str, value: object) -> None:
    """Append a line to the traces of all trials; one `write` is whole, whatever happens."""
    line = json.dumps({"time": time.time(), "pid": os.getpid(), "run": run_dir.name, "what": what, "value": value})
    with (run_dir.parent.parent / "traces.jsonl").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
