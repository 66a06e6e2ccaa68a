"""One training on two processes, from the command line: one run directory, one W&B run, exact numbers."""

import csv
import os
from pathlib import Path

import pytest
import torch

from ar_lightning import load
from ar_lightning.config.build import build_data_module, build_dataset
from ar_lightning.config.resolve import load_config
from tests.support.commands import QUICK, ROOT, result, run_apart, run_here


def images_of(config: str) -> torch.Tensor:
    loaded = load_config(ROOT / config)
    data = build_data_module(loaded, build_dataset(loaded["data"]))
    data.setup()
    return data.split("test")[0]


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_are_one_training(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = [o for o in QUICK if not o.startswith(("trainer.devices", "trainer.limit_test", "tracking."))]
    args = ["--config", "conf/nade.yaml", *options, "trainer.devices=2", f"run_dir={run}"]
    run_apart(*args, fresh=True, WANDB_MODE="offline")
    assert result(run)["world_size"] == 2
    assert len([p for p in (run / "wandb").glob("*run-*") if p.is_dir()]) == 1
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {p.name for p in (run / "samples").iterdir()} == {"final.png", "final-completions.png"}
    with (run / "metrics.csv").open() as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["train/loss"]]
    assert len(steps) == len(set(steps)) == 2, "rank 0 writes, and no other"
    x = images_of("conf/nade.yaml")
    with torch.no_grad():
        nll = -load(run).log_prob(x).double().mean().item()
    assert result(run)["test/nll"] == pytest.approx(nll, rel=1e-6)
    assert result(run)["test_examples"] == len(x)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_a_process_that_is_alone_leaves_nothing_for_others(strategy: str, tmp_path: Path) -> None:
    """Neither a group of processes nor its own place in one, which trainings that it starts would take for theirs."""
    size, before = ["model=transformer", "model.width=8", "model.layers=1"], dict(os.environ)
    for name in ("first", "second"):
        assert run_here(*size, *QUICK, f"trainer.strategy={strategy}", f"run_dir={tmp_path / name}") == 0
        assert not torch.distributed.is_initialized()
        changed = {name for name in os.environ.keys() | before.keys() if os.environ.get(name) != before.get(name)}
        assert not [name for name in changed if name.startswith(("MASTER_", "WORLD_")) or name.endswith("RANK")]
