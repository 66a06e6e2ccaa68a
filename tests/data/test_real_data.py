"""Published data, where AR_LIGHTNING_DATA names a folder with it: known numbers, every model on every dataset."""

import os
from itertools import cycle
from pathlib import Path

import pytest
import torch

from ar_lightning.config.build import build_data_module, build_dataset
from ar_lightning.config.registry import MODELS
from ar_lightning.config.resolve import load_config
from ar_lightning.training.fit import build_lit
from tests.support.cases import small
from tests.support.commands import QUICK, ROOT, result, run_here
from tests.support.marks import slow_but

pytestmark = pytest.mark.skipif(
    not os.environ.get("AR_LIGHTNING_DATA"), reason="AR_LIGHTNING_DATA names no folder with real data"
)
DATASETS = {
    "binarized_mnist": ["data=binarized_mnist"],
    "mnist-16": ["data=mnist", "data.levels=16"],
    "mnist-256": ["data=mnist", "data.batch_size=4"],
    "mnist-dynamic": ["data=mnist", "data.binarize=dynamic"],
    "cifar10-16": ["data=cifar10", "data.levels=16", "data.flip=true", "data.batch_size=4"],
}


def test_the_means_of_train_score_test_as_counting_does() -> None:
    """205.79 nats: the data, their order, the splits and the scores are those of the papers."""
    config = load_config(ROOT / "conf" / "published" / "independent_binarized_mnist.yaml")
    data = build_data_module(config, build_dataset(config["data"]))
    density = build_lit(config, data).density
    means = data.split("train")[0].double().mean(0).flatten().clamp(1e-4, 1 - 1e-4)
    (logits,) = density.parameters()
    logits.data.copy_(means.logit().view_as(logits))
    x, _ = data.split("test")
    assert len(x) == 10_000
    with torch.no_grad():
        assert -density.log_prob(x).double().mean().item() == pytest.approx(205.79, abs=0.02)


# Each model on one dataset, each dataset with several models: how they meet is the same for all.
MET = list(zip([name for name in MODELS if name != "table"], cycle(DATASETS), strict=False))


@pytest.mark.parametrize("met", slow_but([("nade", "mnist-256")], MET), ids="-".join)
def test_every_model_and_every_dataset_run(met: tuple[str, str], tmp_path: Path) -> None:
    model, data = met
    options = [*DATASETS[data], *QUICK, *small(model), "samples.completions=false", f"run_dir={tmp_path / 'run'}"]
    assert run_here(f"model={model}", *options) == 0
    assert 0 < result(tmp_path / "run")["test/bpd"] < 20


def test_a_table_of_28x28_pixels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--config", "conf/table.yaml", "data=binarized_mnist", f"run_dir={tmp_path / 'run'}") == 2
    assert "at most 16" in capsys.readouterr().err
