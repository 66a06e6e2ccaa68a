"""Lightning's callbacks where a run may be resumed, moved or stopped within an epoch, and compilation.

The classes keep Lightning's names, by which it finds their state in a checkpoint.
"""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.optim.swa_utils import get_ema_avg_fn
from torch.utils.checkpoint import checkpoint

from ar_lightning.models.base import Model
from ar_lightning.training.sharded import gather, shard, whole

__all__ = [
    "CheckpointActivations",
    "CompileModel",
    "EMAWeightAveraging",
    "EarlyStopping",
    "ModelCheckpoint",
    "checkpoint_blocks",
    "compile_model",
    "here",
]

SHORT = 4


class ModelCheckpoint(pl.callbacks.ModelCheckpoint):
    """Without `monitor`, also saves within an epoch, to go on from there: where a training stops, and in between.

    Args:
        minutes: between two checkpoints, by the clock of rank 0; null for those of the ends of epochs alone.
    """

    def __init__(self, *args: Any, minutes: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.minutes = minutes
        self._saved = 0.0  # when

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:
            return
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            trainer.should_stop = False  # not before the optimizer step that this batch is a part of
            return
        if self.monitor:
            return
        is_due = self._is_due(trainer)
        if trainer.should_stop or trainer.global_step == trainer.max_steps or is_due:
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether the minutes are over, which rank 0 says for all."""
        if self.minutes is None:
            return False
        return bool(trainer.strategy.broadcast(time.monotonic() - self._saved >= 60 * self.minutes))

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._saved = time.monotonic()


def here(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a checkpoint in `folder` whose callbacks look for the others there, wherever it was written."""
    states = {
        name: state | {
            "dirpath": str(folder),
            "best_k_models": {_in(folder, path): score for path, score in state["best_k_models"].items()},
            **{key: _in(folder, state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")},
        } if "best_model_path" in state else state
        for name, state in checkpoint["callbacks"].items()
    }  # fmt: skip
    return checkpoint | {"callbacks": states}


def _in(folder: Path, path: str) -> str:
    return str(folder / Path(path).name) if path else ""


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Its patience is that of the config, also of a run that is resumed; one that had run out has stopped."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class EMAWeightAveraging(pl.callbacks.WeightAveraging):
    """Exponential moving average of the weights; in a short training its memory grows with the steps n averaged.

        average_n = d_n average_{n-1} + (1 - d_n) weights_n,    d_n = decay, or min(decay, (1 + n) / (10 + n))

    A fixed decay averages over 1 / (1 - decay) steps. Where the whole training has fewer than `SHORT` times as many, it
    would test the weights it began with. What a run began with, it goes on with. An `exact` average of weights that
    stay the same, as frozen ones do, is the same too, where rounding would move it.
    """

    def __init__(self, decay: float, exact: bool = False) -> None:
        super().__init__(use_buffers=False, avg_fn=self._average)
        self.decay, self.exact = decay, exact
        self.growing: bool | None = None  # known when the training begins

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.growing is None:
            self.growing = trainer.estimated_stepping_batches * (1 - self.decay) < SHORT

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(pl_module.density, FSDPModule):
            shard(self._average_model.module.density)  # type: ignore[union-attr, arg-type]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gather(pl_module.density, on=False)  # type: ignore[arg-type] # the averages that go back are shared out
        super().on_validation_epoch_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: pl.Trainer, lit: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, lit, checkpoint)
        checkpoint["state_dict"] = {name: whole(weights) for name, weights in checkpoint["state_dict"].items()}

    def _average(self, average: Tensor, weights: Tensor, steps: Tensor) -> Tensor:
        decay = self.decay
        if self.growing:
            n = int(steps)
            decay = min(decay, (1 + n) / (10 + n))
        if self.exact:
            return torch.lerp(weights, average, decay)
        return get_ema_avg_fn(decay)(average, weights, steps)  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"growing": self.growing}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.growing = state_dict.get("growing", False)  # not of earlier versions


class CheckpointActivations(pl.Callback):
    """Lets a training keep what each block of the model reads, and compute the rest again in the backward pass."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            checkpoint_blocks(pl_module.density.model)  # type: ignore[arg-type, union-attr]


def checkpoint_blocks(model: Model) -> None:
    """Checkpoint the activations of each block of a model, in place; loss and gradients are the same, of dropout too.

    Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    for block in model.get_submodule(model.blocks).children():
        block.forward = partial(_checkpointed, block.forward)


def _checkpointed(forward: Callable[..., Any], *args: Any) -> Any:
    return checkpoint(forward, *args, use_reentrant=False) if torch.is_grad_enabled() else forward(*args)


class CompileModel(pl.Callback):
    """Compiles the model in place, so that its checkpoints load anywhere."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not any(shutil.which(c) for c in (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")):
            rank_zero_info("trainer.compile: no C++ compiler on this machine, training runs eagerly")
            return
        compile_model(pl_module.density.model)  # type: ignore[arg-type, union-attr]


def compile_model(model: Model) -> None:
    """Compile the kernels of a model, which takes seconds; a model without own kernels is compiled as a whole."""
    fit = model.compile_kernels()
    if fit is None:
        model.compile()
    elif not fit:
        rank_zero_info("trainer.compile: there are kernels for binary data only, training runs eagerly")
