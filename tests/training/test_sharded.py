"""Fully sharded training: shares of weights on two processes, the numbers and the checkpoints of one."""

from pathlib import Path

import pytest
import torch

from ar_lightning.config.checks import check_config
from ar_lightning.config.registry import MODELS, OPTIMIZERS
from ar_lightning.config.resolve import load_config
from ar_lightning.config.schema import schema_of
from ar_lightning.core.errors import UserError
from tests.support.commands import QUICK, result, run_apart, run_here
from tests.support.forked import forking
from tests.support.sharded import density, on_one_of_two, optimized

STACKS = [model for model, target in MODELS.items() if schema_of(target).attributes.get("blocks")]
CASES = [
    *((model, "adamw") for model in STACKS),
    *(("transformer", optimizer) for optimizer in OPTIMIZERS if optimizer not in ("adamw", "muon")),
]


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_that_share_the_weights_equal_one(tmp_path: Path) -> None:
    """Scores and weights after clipped steps, for each model that can be sharded and each optimizer."""
    two = [forking().Process(target=on_one_of_two, args=(rank, tmp_path, CASES)) for rank in range(2)]
    for process in two:
        process.start()
    for process in two:
        process.join()
        assert process.exitcode == 0
    results = torch.load(tmp_path / "results.pt")
    for model, optimizer in CASES:
        expected = optimized(density(model), optimizer, 0, 1)
        for a, b in zip(expected, results[model, optimizer], strict=True):
            assert torch.allclose(a, b, rtol=1e-6, atol=1e-8), (model, optimizer)


@pytest.mark.ddp
@pytest.mark.slow
def test_a_sharded_run_is_resumed_as_any_and_any_as_sharded(tmp_path: Path) -> None:
    """Its first epoch on two processes that share the weights, and the second on one; and the other way round."""
    options = [o for o in QUICK if not o.startswith("trainer.devices")]
    options += ["model=transformer", "model.width=8", "model.layers=2", "trainer.ema=0.5", "trainer.gradient_clip=1"]
    sharded, alone = ["trainer.strategy=fsdp", "trainer.devices=2"], ["trainer.strategy=auto", "trainer.devices=1"]
    runs = {name: tmp_path / name for name in ("alone", "first", "second")}
    more = ["trainer.max_epochs=2", "trainer.checkpoint_activations=true"]
    assert run_here(*options, *alone, f"run_dir={runs['alone']}", more[0]) == 0
    run_apart(*options, *sharded, f"run_dir={runs['first']}", more[1])
    assert run_here("--resume", str(runs["first"]), *alone, more[0]) == 0
    assert run_here(*options, *alone, f"run_dir={runs['second']}") == 0
    run_apart("--resume", str(runs["second"]), *sharded, *more)
    expected = torch.load(runs["alone"] / "checkpoints" / "last.ckpt", weights_only=True)
    for name in ("first", "second"):
        found = torch.load(runs[name] / "checkpoints" / "last.ckpt", weights_only=True)
        assert found.keys() == expected.keys()
        for weights in ("state_dict", "current_model_state"):
            assert found[weights].keys() == expected[weights].keys()
            for key, value in expected[weights].items():
                assert type(found[weights][key]) is torch.Tensor
                assert torch.allclose(found[weights][key], value, atol=1e-5), (name, key)
        assert result(runs[name])["test/nll"] == pytest.approx(result(runs["alone"])["test/nll"], rel=1e-5)
        assert result(runs[name])["tested_epoch"] == result(runs["alone"])["tested_epoch"]
    pictures = {(run / "samples" / "final.png").read_bytes() for run in runs.values()}
    assert len(pictures) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["model=nade"], "model.name=nade is no stack of blocks: choose .*; or take trainer.strategy=ddp"),
        (
            ["model=transformer", "optimizer=muon"],
            "splits the matrices that optimizer.name=muon needs whole: take adamw",
        ),
        (["model=transformer", "trainer.compile=true"], "set trainer.compile=false"),
        (["model=transformer", "trainer.precision=16-mixed"], "take trainer.precision=bf16-mixed"),
    ],
)
def test_what_is_not_sharded_is_refused(options: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_config(load_config(None, [*options, "trainer.strategy=fsdp"]))
