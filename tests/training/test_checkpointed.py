"""Checkpointed activations: the same loss and gradients from fewer saved tensors, or one line that says why not."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ar_lightning.config.checks import check_config
from ar_lightning.config.registry import MODELS
from ar_lightning.config.resolve import load_config
from ar_lightning.config.schema import schema_of
from ar_lightning.core.errors import UserError
from ar_lightning.density.density import Density
from ar_lightning.density.step import Step
from ar_lightning.training.callbacks import checkpoint_blocks
from tests.support.cases import SPECS, Case, random_values, small
from tests.support.commands import QUICK, result, run_here

STACKS = [model for model, target in MODELS.items() if schema_of(target).attributes.get("blocks")]
LAYERS = 3


def stack(model: str) -> Density:
    options = {"layers": LAYERS, "dropout": 0.4}
    return Case(model, "categorical", SPECS["colours"], options).build().train()


def step(density: Density) -> tuple[Tensor, list[Tensor | None], int]:
    """Return the loss of a batch, its gradients, and the numbers that were saved for the backward pass."""
    saved = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    density.zero_grad()
    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = density.loss(random_values(SPECS["colours"], 6), None, Step(0, 1)).mean()
    loss.backward()
    return loss.detach(), [p.grad for p in density.parameters()], saved


@pytest.mark.parametrize("model", STACKS)
def test_loss_and_gradients_are_the_same_from_fewer_saved_numbers(model: str) -> None:
    density = stack(model)
    loss, grads, saved = step(density)
    checkpoint_blocks(density.model)
    again, regained, kept = step(density)
    assert torch.allclose(loss, again)
    assert all(a is b or torch.allclose(a, b) for a, b in zip(grads, regained, strict=True))  # type: ignore[arg-type]
    assert kept < saved / 2
    assert len(density.state_dict()) == len(stack(model).state_dict())


def test_a_training_is_the_same(tmp_path: Path) -> None:
    options = ["model=transformer", *small("transformer"), "model.dropout=0.3", *QUICK, "trainer.ema=0.5"]
    assert run_here(*options, f"run_dir={tmp_path / 'plain'}") == 0
    assert run_here(*options, "trainer.checkpoint_activations=true", f"run_dir={tmp_path / 'less'}") == 0
    assert result(tmp_path / "less")["test/nll"] == pytest.approx(result(tmp_path / "plain")["test/nll"], rel=1e-6)


@pytest.mark.parametrize("model", sorted(MODELS.keys() - set(STACKS)))
def test_a_model_that_is_no_stack_of_blocks_is_refused(model: str) -> None:
    config = load_config(None, [f"model={model}", "trainer.checkpoint_activations=true"])
    with pytest.raises(UserError, match=r"checkpoint_activations=true: .* is no stack of blocks: choose .*; or halve"):
        check_config(config)
