"""A damaged checkpoint is not loaded: its weights would be others, without a word."""

import random
import shutil
from pathlib import Path

import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.training.checkpoints import load, read_checkpoint
from tests.support.commands import QUICK, run_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("damaged") / "run"
    assert run_here("model=nade", "model.hidden=8", *QUICK, f"run_dir={run}") == 0
    return run


def test_no_flipped_bit_gives_other_weights(trained: Path, tmp_path: Path) -> None:
    whole = trained / "checkpoints" / "last.ckpt"
    weights, content = read_checkpoint(whole)["state_dict"], whole.read_bytes()
    places, found = random.Random(0), 0
    for _ in range(100):
        damaged = bytearray(content)
        damaged[places.randrange(len(content))] ^= 1 << places.randrange(8)
        file = tmp_path / "damaged.ckpt"
        file.write_bytes(damaged)
        try:
            read = read_checkpoint(file)["state_dict"]
        except UserError:
            found += 1
        else:  # in padding, which is not read
            assert all(torch.equal(read[key], weights[key]) for key in weights)
    assert found > 50


def test_the_other_checkpoint_is_offered(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    last, best = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    capsys.readouterr()
    assert run_here("--resume", str(run), "trainer.max_epochs=2") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{last}: not a readable checkpoint" in error and f"{best} is whole" in error
    assert run_here("--resume", str(best), "trainer.max_epochs=2") == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("command", ["sample", "test", "score", "compress", "complete"])
def test_weights_that_are_no_numbers_are_refused(
    command: str, value: float, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    weight = next(w for w in checkpoint["state_dict"].values() if w.is_floating_point() and w.numel() > 1)
    weight.view(-1)[0] = value
    file = tmp_path / "nan.ckpt"
    torch.save(checkpoint, file)
    more = {"compress": ["data:test[:4]", "--out", str(tmp_path / "x.arl")], "complete": ["--input", "data:test[0]"]}
    capsys.readouterr()
    assert run_here(command, str(file), *more.get(command, [])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "are numbers: its training diverged" in error
    with pytest.raises(UserError, match="diverged"):
        load(file)


def test_another_checkpoint_that_diverged_is_not_offered(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    last, best = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    checkpoint = torch.load(best, weights_only=True)
    next(w for w in checkpoint["state_dict"].values() if w.is_floating_point()).fill_(float("nan"))
    torch.save(checkpoint, best)
    with pytest.raises(UserError, match=r"last\.ckpt is whole"):
        load(best)
    torch.save(checkpoint, last)
    with pytest.raises(UserError, match=r"diverged$"):
        load(best)
