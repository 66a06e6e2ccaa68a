"""Every config trains, tests and samples; the files of a run are all there."""

import csv
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ar_lightning import load
from ar_lightning.config.resolve import load_config
from ar_lightning.core.medium import Audio, Table, Text
from benchmarks.likelihoods import BUNDLED
from tests.support.commands import QUICK, ROOT, result, run_here
from tests.support.marks import slow_but

SHOWN: dict[Any, set[str]] = {  # samples as files
    type(None): {"final.png", "final-completions.png"},
    Audio: {"final.png", "final-completions.png"},
    Text: {"final.txt", "final-completions.txt"},
    Table: {"final.png", "final.csv"},
}
# Those that need a GPU are large: tests/benchmarks/test_reproduce.py has an example go through each.
FOR_CPU = [p for p in (ROOT / "conf").rglob("*.yaml") if load_config(p)["trainer"]["accelerator"] != "gpu"]
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in FOR_CPU)
FEW = ["data.batch_size=8", "data.eval_batch_size=8"]
FAST = ("nade", "row_lstm", "rnade")  # one a kind of network; tests/inference/test_each_command.py has sound and text
LONG = re.compile("cifar10|spoken_digits")  # thousands of values an example, which take seconds to draw


@pytest.mark.parametrize("config", slow_but([f"conf/{name}.yaml" for name in FAST], CONFIGS))
def test_config_runs_two_batches(config: str, tmp_path: Path) -> None:
    long = bool(LONG.search(config))
    few = [*FEW, "samples.completions=false"] if long else FEW
    section = load_config(ROOT / config, few)["data"]
    if section["name"] not in BUNDLED and not os.environ.get("AR_LIGHTNING_DATA"):
        pytest.skip(f"AR_LIGHTNING_DATA names no folder with real data, and {section['name']} is not bundled")
    run = tmp_path / "run"
    assert run_here("--config", config, *QUICK, *few, "trainer.val_every=1", f"run_dir={run}") == 0
    assert math.isfinite(result(run)["test/bpd"])
    batch = section["eval_batch_size"] or section["batch_size"]
    assert batch < result(run)["test_examples"] <= 2 * batch
    for name in ("config.yaml", "metrics.csv", "curves.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / name).stat().st_size > 0
    density = load(run)
    kind = type(density.spec.medium)
    shown = {path.relative_to(run / "samples").as_posix() for path in (run / "samples").iterdir()}
    wavs = {f"final-{i}.wav" for i in range(4)} | {f"final-completions-{i}.wav" for i in range(8)}
    every = SHOWN[kind] | (wavs if kind is Audio else set())
    assert shown == {name for name in every if not (long and "completions" in name)}
    assert {Path(path).name for path in result(run)["pictures"].values()} <= shown
    for path in [run / "curves.png", *(run / "samples").glob("*.png")]:
        picture = Image.open(path)
        assert min(picture.size) > 50 and len(picture.convert("L").getcolors()) > 1
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"step", "epoch", "train/loss", "val/bpd", "test/nll", "throughput/examples_per_second"} <= set(rows[0])
    assert not list(run.rglob("*.partial"))
    if not long:
        assert density.sample(2, torch.zeros(2, dtype=torch.long)).shape == (2, *density.spec.shape)


@pytest.mark.slow
def test_conditional_samples_follow_their_labels(tmp_path: Path) -> None:
    """Trained to tell them apart: an all-dark class from an all-light one."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    train = rng.random((400, 4, 4)) < np.where(labels, 0.95, 0.05)[:, None, None]
    np.savez(tmp_path / "d.npz", train=train, train_labels=labels)
    for model in ("independent", "nade", "row_lstm"):
        run = tmp_path / model
        options = ["data.name=npz", f"data.path={tmp_path / 'd.npz'}", "model.conditional=true", "data.batch_size=20"]
        more = ["trainer.max_epochs=6", "optimizer.lr=0.03", "tracking.mode=disabled", "samples.n=4", "samples.every=0"]
        assert run_here(f"model={model}", *options, *more, f"run_dir={run}") == 0
        density = load(run)
        light = density.sample(200, torch.ones(200, dtype=torch.long)).float().mean()
        dark = density.sample(200, torch.zeros(200, dtype=torch.long)).float().mean()
        assert light > 0.85 and dark < 0.15
        with pytest.raises(ValueError, match="labels"):
            density.sample(3)
