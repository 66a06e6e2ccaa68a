"""Published data, where AR_LIGHTNING_DATA names a folder with it: known numbers, every model on every dataset."""

import os
from itertools import cycle
from pathlib import Path

import pytest

from ar_lightning.config.registry import MODELS
from tests.support.cases import small
from tests.support.commands import QUICK, result, run_here
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


@pytest.mark.slow
def test_independent_pixels_reach_the_number_that_counting_gives(tmp_path: Path) -> None:
    config = "conf/published/independent_binarized_mnist.yaml"
    assert run_here("--config", config, "tracking.mode=disabled", f"run_dir={tmp_path / 'run'}") == 0
    assert result(tmp_path / "run")["test/nll"] == pytest.approx(205.79, abs=0.1)
    assert result(tmp_path / "run")["test_examples"] == 10_000


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
