"""Every config trains, tests and samples; the files of a run are all there."""

import csv
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ar_lightning import load
from ar_lightning.config.build import build_data_module, build_dataset
from ar_lightning.config.resolve import load_config
from ar_lightning.core.medium import Audio, MixedTable, Roll, Table, Text
from ar_lightning.training.fit import build_lit
from benchmarks.likelihoods import BUNDLED
from tests.support.commands import QUICK, ROOT, result, run_here
from tests.support.marks import slow_but

SHOWN: dict[Any, set[str]] = {  # samples as files
    type(None): {"final.png", "final-completions.png"},
    Audio: {"final.png", "final-completions.png"},
    Roll: {"final.png", "final-completions.png"},
    Text: {"final.txt", "final-completions.txt"},
    Table: {"final.png", "final.csv"},
    MixedTable: {"final.csv", "final-marginals.png", "final-pairs.png", "final-associations.png"},
}
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "conf").rglob("*.yaml"))
LARGE = [config for config in CONFIGS if config.startswith(("conf/published", "conf/cifar10"))]
SMALL = [config for config in CONFIGS if config not in LARGE]
FEW = ["data.batch_size=8", "data.eval_batch_size=8"]
# One a kind of network; tests/inference/test_each_command.py has sound and text.
FAST = [f"conf/{name}.yaml" for name in ("nade", "row_lstm", "rnade")]
LONG = "conf/wavenet_speech.yaml"  # thousands of values an example take seconds to draw


def skip_without_data(name: str) -> None:
    if name not in BUNDLED and not os.environ.get("AR_LIGHTNING_DATA"):
        pytest.skip(f"AR_LIGHTNING_DATA names no folder with real data, and {name} is not bundled")


@pytest.mark.slow
@pytest.mark.parametrize("config", LARGE)
def test_an_example_goes_through_a_large_config(config: str) -> None:
    """All that a CPU can do in a second of those that train for hours: a likelihood and its gradients, at full size."""
    loaded = load_config(ROOT / config, ["trainer.accelerator=cpu"])
    skip_without_data(loaded["data"]["name"])
    if (path := loaded["data"].get("path")) and not Path(path).exists():
        pytest.skip(f"no {path}, which is the user's")
    data = build_data_module(loaded, build_dataset(loaded["data"]))
    density = build_lit(loaded, data).density
    spec = density.spec
    x = torch.randn(2, *spec.shape) if spec.levels is None else torch.randint(spec.levels, (1, *spec.shape))
    if isinstance(spec.medium, MixedTable):
        x, _ = data.split("test", 2)
    cond = torch.zeros(len(x), dtype=torch.long) if density.conditional else None
    nats = density.loss(x, cond)
    nats.mean().backward()
    assert nats.isfinite().all() and (spec.levels is None or nats.min() > 0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in density.parameters())


@pytest.mark.parametrize("config", slow_but(FAST, SMALL))
def test_config_runs_two_batches(config: str, tmp_path: Path) -> None:
    long = config == LONG
    few = [*FEW, "samples.completions=false"] if long else FEW
    section = load_config(ROOT / config, few)["data"]
    skip_without_data(section["name"])
    run = tmp_path / "run"
    assert run_here("--config", config, *QUICK, *few, "trainer.val_every=1", f"run_dir={run}") == 0
    assert math.isfinite(result(run)["test/nll"])
    batch = section["eval_batch_size"] or section["batch_size"]
    assert batch < result(run)["test_examples"] <= 2 * batch
    for name in ("config.yaml", "metrics.csv", "curves.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert (run / name).stat().st_size > 0
    density = load(run)
    kind = type(density.spec.medium)
    shown = {path.relative_to(run / "samples").as_posix() for path in (run / "samples").iterdir()}
    wavs = {f"final-{i}.wav" for i in range(4)} | {f"final-completions-{i}.wav" for i in range(8)}
    every = SHOWN[kind] | (wavs if kind in (Audio, Roll) else set())
    assert shown == {name for name in every if not (long and "completions" in name)}
    assert {Path(path).name for path in result(run)["pictures"].values()} <= shown
    for path in [run / "curves.png", *(run / "samples").glob("*.png")]:
        picture = Image.open(path)
        assert min(picture.size) > 50 and len(picture.convert("L").getcolors()) > 1
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"step", "epoch", "train/loss", "val/bpd", "test/nll", "throughput/examples_per_second"} <= set(rows[0])
    assert not list(run.rglob("*.partial"))
    if not long and not density.spec.given:
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
