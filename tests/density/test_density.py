"""Loading, and sampling by its arguments: what is wrong is said in one line."""

import shutil
from pathlib import Path

import pytest
import torch

from ar_lightning import load
from ar_lightning.core.errors import UserError
from tests.support.cases import BINARY, Case, random_values
from tests.support.commands import QUICK, run_here


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "nade"
    assert run_here("--config", "conf/nade.yaml", *QUICK, f"run_dir={path}") == 0
    return path


def test_a_run_and_its_checkpoint_are_the_same_density(run: Path) -> None:
    x = load(run).sample(3, generator=torch.Generator().manual_seed(0))
    best = load(run / "checkpoints" / "best.ckpt")
    assert torch.equal(load(str(run)).log_prob(x), best.log_prob(x))
    assert not best.training
    assert "8x8 with 17 levels" in repr(best)


def damaged(run: Path, tmp_path: Path, how: str) -> Path:
    path = tmp_path / "last.ckpt"
    whole = (run / "checkpoints" / "last.ckpt").read_bytes()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how in ("text", "empty"):
        path.write_text("not a checkpoint" if how == "text" else "")
    else:
        checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        if how == "foreign":
            checkpoint.pop("ar_lightning")
        elif how == "misfit":
            checkpoint["ar_lightning"]["config"]["model"]["hidden"] = 7
        torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("how", ["truncated", "text", "empty", "foreign", "misfit"])
def test_a_damaged_checkpoint_is_one_clear_line(run: Path, tmp_path: Path, how: str) -> None:
    path = damaged(run, tmp_path, how)
    with pytest.raises(UserError) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_resuming_from_a_damaged_checkpoint_is_one_clear_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    damaged(run, copy / "checkpoints", "truncated")
    assert run_here("--resume", str(copy), "trainer.max_epochs=2") == 2
    error = capsys.readouterr().err.strip()
    assert "last.ckpt: not a readable checkpoint" in error and "\n" not in error


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    torch.save({"ar_lightning": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "executed").exists()


def test_a_path_that_is_no_run_names_the_nearest(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'nade'"):
        load(run.parent / "nadee")
    with pytest.raises(UserError, match="no such run"):
        load(tmp_path / "nowhere" / "at" / "all")


def test_sampling_arguments_are_checked() -> None:
    density = Case("nade", "bernoulli", BINARY).build()
    x = random_values(BINARY, 3)
    with pytest.raises(ValueError, match="temperature"):
        density.sample(3, temperature=0)
    with pytest.raises(ValueError, match="both"):
        density.sample(3, known=x)
    with pytest.raises(ValueError, match="expected"):
        density.sample(3, known=x + 5, mask=torch.tensor(True))
    assert density.sample(0).shape == (0, *BINARY.shape)
    conditional = Case("nade", "bernoulli", BINARY, {"conditional": True}).build()
    with pytest.raises(ValueError, match="3 labels"):
        conditional.sample(3)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        conditional.log_prob(x, torch.tensor([0, 1, 3]))


def test_every_known_value_is_kept_whatever_the_mask() -> None:
    density = Case("row_lstm", "bernoulli", BINARY).build()
    known = random_values(BINARY, 40)
    mask = torch.rand(40, *BINARY.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    assert torch.equal(density.sample(40, known=known, mask=mask)[mask], known[mask])
