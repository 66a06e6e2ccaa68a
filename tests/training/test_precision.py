"""bfloat16 where there is such arithmetic, and float32, in a line of notice, where it would be emulated."""

from pathlib import Path

import pytest
import torch

from ar_lightning.config.resolve import load_config
from ar_lightning.training import trainer
from ar_lightning.training.trainer import with_possible_precision
from tests.support.commands import QUICK, run_here

HALF = {"accelerator": "cpu", "precision": "bf16-mixed", "devices": 1}


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_a_processor_that_emulates_bfloat16_computes_in_float32(
    accelerator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    asked = HALF | {"accelerator": accelerator}
    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: True)
    assert with_possible_precision(asked) == asked
    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: False)
    assert with_possible_precision(asked) == asked | {"precision": "32-true"}
    assert with_possible_precision(asked | {"precision": "64-true"})["precision"] == "64-true"


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_what_the_processor_can_does_not_matter_to_a_gpu(accelerator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: False)
    assert with_possible_precision(HALF | {"accelerator": accelerator})["precision"] == "bf16-mixed"


def test_the_run_says_what_it_was_computed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: False)
    run = tmp_path / "run"
    assert run_here("model=nade", "model.hidden=8", "trainer.precision=bf16-mixed", *QUICK, f"run_dir={run}") == 0
    assert load_config(run / "config.yaml")["trainer"]["precision"] == "32-true"


def test_gradients_are_clipped_in_mixed_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: True)
    options = ["trainer.precision=bf16-mixed", "trainer.gradient_clip=1", "optimizer=adam"]
    assert run_here("model=nade", "model.hidden=8", *QUICK, *options, f"run_dir={tmp_path / 'run'}") == 0
