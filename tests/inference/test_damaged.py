"""Runs and files that cannot be used: one line that says what is wrong, exit code 2, and nothing written."""

import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.files import CHECKPOINT_KEY
from tests.support.commands import QUICK, run_here

COMMANDS = {  # those that take a run, with what else they need
    "sample": ["--n", "1"],
    "complete": ["--input", "data:test:0"],
    "test": [],
    "score": [],
    "anomaly": ["--against", "noise"],
    "features": [],
    "compress": ["data:test[:2]"],
    "decompress": ["any.arl"],
    "export": ["--out", "exported"],
}
WITH_FILES = {"complete": "--input", "score": "--data", "anomaly": "--against", "compress": ""}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "good"
    assert run_here("model=nade", "model.hidden=8", *QUICK, f"run_dir={folder}") == 0
    return folder


def saved(checkpoint: dict[str, Any]) -> dict[str, Any]:
    inside: dict[str, Any] = checkpoint[CHECKPOINT_KEY]
    return inside


def another_version(checkpoint: dict[str, Any]) -> None:
    saved(checkpoint)["version"] = "7.1"
    saved(checkpoint)["config"]["model"]["hiden"] = 8


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another version": (another_version, "written by version 7.1, this is "),
    "no config": (lambda c: saved(c).pop("config"), "it holds no config"),
    "not ours": (lambda c: c.pop(CHECKPOINT_KEY), "it holds no config"),
    "no spec": (lambda c: saved(c).pop("data"), "no 'data'"),
    "no weights": (lambda c: c.pop("state_dict"), "no 'state_dict'"),
    "unknown model": (lambda c: saved(c)["config"]["model"].update(name="nad"), "did you mean 'nade'?"),
    "illegal value": (lambda c: saved(c)["config"]["model"].update(hidden="wide"), "model.hidden: expected int"),
    "no size": (lambda c: saved(c)["data"].update(shape=[1, None, 8]), "a shape of (1, None, 8)"),
    "half a level": (lambda c: saved(c)["data"].update(levels=2.5), "2.5 levels"),
    "no text": (lambda c: saved(c)["data"].update(medium={"kind": "text", "symbols": 1}), "a medium of kind text"),
    "no tensor": (lambda c: c["state_dict"].update({next(iter(c["state_dict"])): [1]}), "cannot be restored"),
    "other weights": (lambda c: saved(c)["config"]["model"].update(hidden=9), "its weights do not fit its config"),
}


def refused(capsys: pytest.CaptureFixture[str], command: str, *args: str) -> str:
    """Run a command that must be refused; return what it said."""
    assert run_here(command, *args) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("error: ") and "Traceback" not in line and not said.out
    return line


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_checkpoint_that_cannot_be_used(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, damage: str
) -> None:
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    harm, expected = DAMAGES[damage]
    harm(checkpoint)
    file = tmp_path / "harmed.ckpt"
    torch.save(checkpoint, file)
    line = refused(capsys, command, str(file), *COMMANDS[command])
    assert expected in line and str(file) in line
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("global_step"),
        lambda c: c.update(global_step="x"),
        lambda c: c.update(callbacks=[]),
        lambda c: c.pop("lr_schedulers"),
        lambda c: c.update({"pytorch-lightning_version": "x"}),
        lambda c: saved(c).update(fingerprint=1.0),
    ],
    ids=["no step", "no number", "no callbacks", "no schedule", "no version", "no fingerprint"],
)
def test_a_training_that_cannot_be_restored(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], Any]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    checkpoint = torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, copy / "checkpoints" / "last.ckpt")
    assert run_here("--resume", str(copy), "trainer.max_epochs=2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "last.ckpt: cannot be restored (" in line and "best.ckpt is whole: give that" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_truncated_checkpoint(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    whole = (run / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(whole[: len(whole) // 2])
    assert "not a readable checkpoint" in refused(capsys, command, str(tmp_path), *COMMANDS[command])
    assert [f.name for f in tmp_path.rglob("*")] == ["checkpoints", "best.ckpt"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (tmp_path / "digits-nade").mkdir()
    line = refused(capsys, command, str(tmp_path / "digit-nade"), *COMMANDS[command])
    assert "no such run or checkpoint" in line and "did you mean 'digits-nade'?" in line


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    torch.save({CHECKPOINT_KEY: Trap()}, tmp_path / "trap.ckpt")
    assert "not a readable checkpoint" in refused(capsys, "sample", str(tmp_path / "trap.ckpt"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.zeros((3, 9, 8), int), "(3, 9, 8)"),
        (np.full((3, 8, 8), np.nan), "nan"),
        (np.full((3, 8, 8), -1), "-1"),
        (np.array([["a"]]), "<U1"),
    ],
    ids=["shape", "NaN", "level", "text"],
)
@pytest.mark.parametrize("command", WITH_FILES)
def test_a_file_that_cannot_be_used(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, array: np.ndarray, expected: str
) -> None:
    file, out = tmp_path / "mine.npz", tmp_path / "out"
    np.savez(file, test=array)
    option = [WITH_FILES[command]] if WITH_FILES[command] else []
    line = refused(capsys, command, str(run), *option, str(file), "--out", str(out))
    assert str(file) in line and expected in line
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': nan, 8), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }",
        b"(" * 300,
        b"'",
        b"\x00",
        b"",
    ],
    ids=["brackets", "a huge size", "many brackets", "a quote", "a zero", "nothing"],
)
def test_an_array_with_another_header(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], header: bytes
) -> None:
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(64)
    (tmp_path / "mask.npy").write_bytes(array)
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.write(tmp_path / "mask.npy", "test.npy")
    assert "mask.npy" in refused(
        capsys, "complete", str(run), "--input", "data:test:0", "--mask", str(tmp_path / "mask.npy")
    )
    assert "mine.npz" in refused(capsys, "score", str(run), "--data", str(tmp_path / "mine.npz"))
