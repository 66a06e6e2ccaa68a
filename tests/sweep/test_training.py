"""Sweeps over real trainings: the best config gives the same number again, and what is killed goes on exactly."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from ar_lightning.config.resolve import load_config
from tests.support.commands import result, run_apart
from tests.support.sweeping import Sweeping, ended, until

TINY = [
    "model.hidden=20", "trainer.max_epochs=3", "trainer.limit_train=20", "trainer.accelerator=cpu", "samples.n=4",
    "samples.every=0",
]  # fmt: skip
OFF = ["tracking.mode=disabled"]
LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweeping]:
    sweeping = Sweeping(tmp_path, program=("run.py",))
    yield sweeping
    sweeping.end()


@pytest.mark.slow
def test_a_sweep_from_its_file_to_the_best_config(sweep: Sweeping, tmp_path: Path) -> None:
    """Two workers, two trainings, W&B offline; the best config gives its value again."""
    sweep.settings = {"overrides": TINY, "trials": 2, "space": {"optimizer.lr": LR}}
    output = sweep.run(WANDB_MODE="offline")
    assert "trial 0 complete" in output and "best.yaml" in output
    trials = sweep.trials()
    assert sweep.outcomes() == ["complete"] * 2
    for trial in trials:
        run = sweep.out / "trials" / trial.user_attrs["run"]
        assert trial.value == pytest.approx(result(run)["val/bpd"])
        assert "test/nll" not in result(run), "the test data are not for choosing"
        assert (run / "samples" / "final.png").exists()
        config = load_config(run / "config.yaml")
        assert config["tracking"]["group"] == "s"
        assert (run / "wandb" / "run-id").read_text() == f"s-{trial.number:04d}"
        assert config["optimizer"]["lr"] == trial.params["optimizer.lr"]
        assert {"parameters", "seconds_training", "samples_per_second"} <= trial.user_attrs["metrics"].keys()
    best = min(trials, key=lambda t: t.value or 0)
    assert (best.value or 0) <= (trials[0].value or 0), "the first is the config itself"
    run_apart("--config", str(sweep.out / "best.yaml"), f"run_dir={tmp_path / 'again'}", *OFF)
    again = result(tmp_path / "again")["val/bpd"]
    assert again == pytest.approx(best.value, rel=1e-9), "up to the order of a sum, which depends on where tensors lie"
    assert "test/nll" in result(tmp_path / "again")
    for name in ("trials.csv", "plots/history.png", "report.txt"):
        assert (sweep.out / name).stat().st_size > 0
    (sweep.out / "trials.csv").unlink()
    assert "trial" in run_apart("sweep-report", str(sweep.out))
    assert (sweep.out / "trials.csv").exists()


@pytest.mark.slow
@pytest.mark.ddp
def test_a_training_that_loses_its_worker_goes_on_exactly(sweep: Sweeping, tmp_path: Path) -> None:
    """SIGKILL of the worker: all processes of the trial stop, another worker finishes it, with the same result."""
    longer = [*TINY, *OFF, "trainer.max_epochs=8", "trainer.limit_train=45"]
    sweep.settings = {"overrides": longer, "trials": 1, "workers": 2, "devices_per_trial": 2, "lease": 3.0}
    launcher = sweep.start()
    until((sweep.out / "trials" / "0000" / "checkpoints" / "last.ckpt").exists)
    (busy,) = {int(t.user_attrs["worker"].rpartition(":")[2]) for t in sweep.trials() if "worker" in t.user_attrs}
    children = sweep.children()
    assert len(children) >= 2
    os.kill(busy, signal.SIGKILL)
    until(lambda: not set(children) & set(sweep.children()))
    ended(launcher)
    assert sweep.outcomes() == ["lost", "complete"]
    first, again = sweep.trials()
    assert again.params == first.params and again.user_attrs["retry_of"] == [0]
    assert again.user_attrs["run"] == "0000" and len(again.intermediate_values) == 8
    assert "resuming" in (sweep.out / "trials" / "0000.log").read_text()
    assert again.user_attrs["worker"] != first.user_attrs["worker"]
    run_apart("--config", str(sweep.out / "best.yaml"), f"run_dir={tmp_path / 'whole'}", *OFF)
    assert result(tmp_path / "whole")["val/bpd"] == again.value
    assert result(tmp_path / "whole")["world_size"] == 2


def test_the_value_is_that_of_the_best_epoch(sweep: Sweeping) -> None:
    """A training that gets worse is judged by the checkpoint that is kept, not by where it ended."""
    worse = ["trainer.max_epochs=6", "optimizer.lr=0.5"]
    space = {"seed": {"type": "categorical", "choices": [0]}}
    sweep.settings = {"overrides": [*TINY, *OFF, *worse], "trials": 1, "sampler": "grid", "space": space}
    sweep.run()
    (trial,) = sweep.trials()
    curve = trial.intermediate_values
    assert min(curve.values()) < curve[6], "it does not get worse"
    assert trial.value == min(curve.values()) == pytest.approx(result(sweep.out / "trials" / "0000")["val/bpd"])


@pytest.mark.slow
def test_two_objectives_give_a_front_of_what_did_not_diverge(sweep: Sweeping) -> None:
    space = {"optimizer.lr": {"type": "categorical", "choices": [1e-3, 1e30]}}
    objectives = [{"metric": "val/bpd"}, {"metric": "parameters"}]
    sweep.settings = {
        "overrides": [*TINY, *OFF],
        "trials": 2,
        "sampler": "grid",
        "space": space,
        "objective": objectives,
    }
    sweep.run()
    assert sweep.outcomes() == ["complete", "failed"]
    complete, diverged = sweep.trials()
    assert "the training diverged" in diverged.user_attrs["reason"]
    there = result(sweep.out / "trials" / "0000")
    assert complete.values == pytest.approx([there["val/bpd"], there["parameters"]])
    assert [path.name for path in (sweep.out / "pareto").glob("*.yaml")] == ["0000.yaml"]


@pytest.mark.slow
@pytest.mark.ddp
def test_a_pruned_training_stops_early_on_all_its_processes(sweep: Sweeping) -> None:
    space = {"optimizer.lr": {"type": "categorical", "choices": [1e-2, 1e-6]}}
    pruner = {"name": "median", "startup_trials": 1, "min_epochs": 1}
    sweep.settings = {
        "overrides": [*TINY, *OFF], "trials": 2, "workers": 1, "devices_per_trial": 2, "sampler": "grid",
        "space": space, "pruner": pruner,
    }  # fmt: skip
    sweep.run()
    assert sweep.outcomes() == ["complete", "pruned"]
    run: dict[str, Any] = json.loads((sweep.out / "trials" / "0001" / "result.json").read_text())
    assert (run["state"], run["epochs"], run["world_size"]) == ("pruned", 1, 2)
    assert sweep.trials()[1].state == TrialState.PRUNED
    assert not (sweep.out / "trials" / "0001" / "samples").exists()
