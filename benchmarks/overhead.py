"""What Lightning's Trainer, the data module and the exact metrics cost, against a bare loop over the same steps."""

import contextlib
import io
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ar_lightning.config.build import build_data_module
from ar_lightning.config.checks import check_config
from ar_lightning.config.resolve import load_config
from ar_lightning.data.base import Dataset
from ar_lightning.training.fit import build_lit, run
from benchmarks.speed import Setup
from benchmarks.timing import seconds_of
from benchmarks.works import Work

__all__ = ["overhead"]


def overhead(work: Work, steps: int, setup: Setup) -> dict[str, float]:
    """Return the seconds of a training step in a bare loop and in the Trainer, which also counts and logs."""
    steps = 5 if setup.quick else steps
    with tempfile.TemporaryDirectory() as folder:
        images = work.examples(steps * work.batch)[:, 0].numpy().astype(np.uint8)
        np.savez(Path(folder) / "images.npz", train=images, valid=images[:20], test=images[:20])
        config = load_config(None, [
            *(f"model.{key}={value}" for key, value in work.model.items()), "data.name=npz",
            f"data.path={folder}/images.npz", f"data.batch_size={work.batch}", "trainer.max_epochs=1",
            f"trainer.accelerator={setup.device}", "trainer.devices=1", "trainer.progress=false",
            "tracking.mode=disabled", "samples.every=0", "samples.n=1",
            f"trainer.precision={'bf16-mixed' if setup.bf16 else '32-true'}",
        ])  # fmt: skip
        dataset = check_config(config)
        pairs = [
            (by_hand(config, dataset, setup), by_trainer(config, dataset, Path(folder) / str(i)))
            for i in range(1 + setup.rounds(5))
        ]
    bare, whole = (median(column) for column in zip(*pairs[1:], strict=True))  # the first was to warm up
    return {"bare": bare / steps, "trainer": whole / steps}


def by_trainer(config: dict[str, Any], dataset: Dataset, run_dir: Path) -> float:
    """Train an epoch as `run.py fit` does; return its seconds without validation."""
    with contextlib.redirect_stdout(io.StringIO()):
        return float(run(config, dataset, run_dir)["seconds_training"])


def by_hand(config: dict[str, Any], dataset: Dataset, setup: Setup) -> float:
    """Do the same steps on batches that lie ready."""
    data = build_data_module(config, dataset)
    x = data.split("train")[0].to(setup.device)
    density = build_lit(config, data).density.to(setup.device).train()
    optimizer = torch.optim.Adam(density.parameters())

    def loop() -> None:
        for batch in x.split(config["data"]["batch_size"]):
            with setup.autocast():
                loss = density.loss(batch).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return seconds_of(loop)
