"""The result of a training is written before anything is drawn: no picture takes it away."""

from pathlib import Path
from typing import Any

import pytest

from ar_lightning.media.images import Images
from tests.support.commands import QUICK, result, run_here


@pytest.mark.slow
def test_a_run_whose_pictures_fail_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("no picture today")

    monkeypatch.setattr(Images, "write_samples", fail)
    monkeypatch.setattr("ar_lightning.training.fit.curves_png", fail)
    run = tmp_path / "run"
    args = ["--config", "conf/nade.yaml", "model.hidden=8", "samples.every=1", "trainer.max_epochs=2"]
    assert run_here(*args, *[q for q in QUICK if "max_epochs" not in q], f"run_dir={run}") == 0
    out = capsys.readouterr().out
    assert out.count("not drawn (no picture today)") == 3  # after an epoch, the last samples and the curves
    assert result(run)["state"] == "complete" and result(run)["test/nll"] > 0
    assert run_here("--resume", str(run), "trainer.max_epochs=3") == 0
    assert result(run)["epochs"] == 3


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    import torch

    save = torch.save

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = tmp_path / "run"
    args = ["--config", "conf/nade.yaml", "model.hidden=8", *QUICK, f"run_dir={run}"]
    monkeypatch.setattr(torch, "save", full)
    assert run_here(*args) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "checkpoints/best.ckpt: No space left on device; " in err
    assert err.endswith(f"then go on with: python run.py --resume {run}\n")
    assert not list(run.rglob("*.ckpt*"))
    monkeypatch.setattr(torch, "save", save)
    assert run_here("--resume", str(run)) == 0 and result(run)["state"] == "complete"
