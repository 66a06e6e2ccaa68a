"""Runs are exported, and what was exported is a run for every command that needs weights alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.training.checkpoints import load
from tests.support.commands import ROOT, run_here

RELEASED = ROOT / "tests" / "compatibility" / "released_0_1"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is exported of a released run."""
    out = tmp_path / "exported"
    assert run_here("export", str(RELEASED / getattr(request, "param", "nade")), "--out", str(out)) == 0
    return out


@pytest.mark.parametrize("exported", ["nade", "rnade"], indirect=True)
def test_the_test_is_that_of_the_training(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert files(exported) == {"model.safetensors", "config.yaml", "result.json"}
    assert "run_dir" not in (exported / "config.yaml").read_text()
    result = json.loads((exported / "result.json").read_text())
    assert "pictures" not in result
    assert run_here("test", str(exported)) == 0
    assert json.loads((exported / "test.json").read_text())["nll"] == pytest.approx(result["test/nll"], rel=1e-6)


def test_samples_and_codes_are_those_of_the_run(exported: Path, tmp_path: Path) -> None:
    """Of the folder and of the file."""
    file = exported / "model.safetensors"
    for i, run in enumerate((exported, file, RELEASED / "nade")):
        assert run_here("sample", str(run), "--n", "9", "--out", str(tmp_path / f"{i}")) == 0
    drawn = [np.load(tmp_path / f"{i}.npz")["train"] for i in range(3)]
    assert np.array_equal(drawn[0], drawn[2]) and np.array_equal(drawn[1], drawn[2])
    x = torch.from_numpy(drawn[0])
    assert torch.equal(load(exported).log_prob(x), load(RELEASED / "nade").log_prob(x))

    code = str(tmp_path / "six.arl")
    assert run_here("compress", str(RELEASED / "nade"), str(RELEASED / "nade" / "six.npz"), "--out", code) == 0
    assert run_here("decompress", str(file), code, "--out", str(tmp_path / "back.npz")) == 0


def test_an_export_is_exported_and_compared(exported: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "images" / "seven.png", exported / "samples.png")
    again = tmp_path / "again"
    assert run_here("export", str(exported / "model.safetensors"), "--out", str(again)) == 0
    assert files(again) == files(exported)
    assert all((again / name).read_bytes() == (exported / name).read_bytes() for name in files(again))
    assert run_here("compare", str(exported), str(RELEASED / "nade"), "--out", str(tmp_path / "compared")) == 0


def test_a_result_of_other_weights_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(RELEASED / "nade", tmp_path / "run"))
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"tested_step": 1}))
    assert run_here("export", str(run), "--out", str(tmp_path / "out")) == 0
    assert "result.json: is of other weights than these" in capsys.readouterr().err
    assert files(tmp_path / "out") == {"model.safetensors", "config.yaml"}


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_no_training_goes_on_from_weights_alone(file: str, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_here("--resume", str(exported / file), "trainer.max_epochs=9") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds weights alone, without the state of a training; give the directory of a run" in line


def test_a_folder_in_use_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt", tmp_path / "mine.txt" / "below"):
        assert run_here("export", str(RELEASED / "nade"), "--out", str(out)) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert files(tmp_path) == {"mine.txt"}
