"""Lightning's Trainer as this project sets it up: its callbacks, checkpoints and precision."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from ar_lightning.config.slurm import check_tasks
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Decay, Hours, Minutes, NonNegativeFloat, PositiveInt, Threads
from ar_lightning.core.files import BEST, written
from ar_lightning.core.output import verbatim
from ar_lightning.training.callbacks import (
    CheckpointActivations,
    CompileModel,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    here,
)
from ar_lightning.training.checkpoints import read_checkpoint
from ar_lightning.training.progress import EpochLines
from ar_lightning.training.sharded import FullySharded
from ar_lightning.training.within_epoch import WithinEpoch

__all__ = ["make_trainer", "with_possible_precision"]

SCORE = "val/nll"  # what the best weights have the least of


def make_trainer(
    run_dir: Path,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
    *,
    max_epochs: PositiveInt = 20,
    max_steps: PositiveInt | None = None,
    max_hours: Hours | None = None,
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto",
    devices: int | str = "auto",
    threads: Threads | None = None,
    num_nodes: PositiveInt = 1,
    strategy: Literal["auto", "ddp", "fsdp"] = "auto",
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true",
    gradient_clip: NonNegativeFloat | None = None,
    accumulate: PositiveInt = 1,
    freeze: list[str] = [],  # noqa: B006 - read, never changed
    ema: Decay | None = None,
    early_stopping: PositiveInt | None = None,
    val_every: PositiveInt = 1,
    log_every: PositiveInt = 10,
    save_minutes: Minutes | None = None,
    compile: bool = False,
    checkpoint_activations: bool = False,
    limit_train: PositiveInt | None = None,
    limit_val: PositiveInt | None = None,
    limit_test: PositiveInt | None = None,
    progress: bool = True,
) -> pl.Trainer:
    """Lightning's Trainer, with checkpoints, EMA, early stopping and progress as configured.

    Args:
        max_epochs: epochs to train.
        max_steps: stop after so many optimizer steps.
        max_hours: stop after so many hours.
        accelerator: what to compute on.
        devices: how many devices, which ones ('0,1'), or auto for all; on a CPU, processes.
        threads: CPU threads of each process; left to PyTorch, or OMP_NUM_THREADS, if null. Rounding depends on it.
        num_nodes: machines of a multi-node training.
        strategy: how several devices share the work: ddp shares out the batch, fsdp the weights, gradients and moments
            too.
        precision: numbers of the forward and backward pass; likelihoods are float32 or better. A CPU without bfloat16
            arithmetic takes 32-true for bf16-mixed.
        gradient_clip: largest norm of the gradient.
        accumulate: batches per optimizer step.
        freeze: patterns of the parameters and modules that are not trained, such as 'model.layers.*'.
        ema: decay of the averaged weights that are validated, tested and sampled; null for none.
        early_stopping: validations without improvement before training stops.
        val_every: epochs between validations.
        log_every: steps between logged losses.
        save_minutes: minutes between checkpoints within an epoch; null for one at the end of each epoch alone.
        compile: compile with torch.compile: NADE's own kernels, other models as a whole, which can take minutes.
        checkpoint_activations: keep what each block of the model reads, and compute the rest again in the backward
            pass: less memory, about a third more time; for models that are stacks of blocks.
        limit_train: batches per training epoch.
        limit_val: validation batches.
        limit_test: test batches.
        progress: show progress.
    """
    checkpoints = run_dir / "checkpoints"
    if threads:
        torch.set_num_threads(threads)
    callbacks = [
        *callbacks,  # before EMA: samples are drawn while the averaged weights are in place
        *([EMAWeightAveraging(ema, exact=bool(freeze))] if ema is not None else []),
        *([EarlyStopping(SCORE, patience=early_stopping, strict=False)] if early_stopping else []),
        *([CheckpointActivations()] if checkpoint_activations else []),
        *([CompileModel()] if compile else []),
        pl.callbacks.LearningRateMonitor("epoch"),
        *([_progress()] if progress else []),
        WithinEpoch(),
        ModelCheckpoint(checkpoints, "best", monitor=SCORE, enable_version_counter=False),
        ModelCheckpoint(
            checkpoints, "last", minutes=save_minutes, save_on_train_epoch_end=True, enable_version_counter=False
        ),
    ]
    try:
        trainer = pl.Trainer(
            default_root_dir=run_dir,
            logger=loggers,
            callbacks=callbacks,
            plugins=[RunCheckpoints()],
            max_epochs=max_epochs,
            max_steps=max_steps or -1,
            max_time=timedelta(hours=max_hours) if max_hours else None,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=FullySharded() if strategy == "fsdp" else strategy,
            precision=precision,
            gradient_clip_val=gradient_clip,
            accumulate_grad_batches=accumulate,
            check_val_every_n_epoch=val_every,
            log_every_n_steps=log_every,
            limit_train_batches=limit_train,
            limit_val_batches=limit_val,
            limit_test_batches=limit_test,
            use_distributed_sampler=False,  # the DataModule's samplers are exact
            num_sanity_val_steps=0,
            enable_progress_bar=progress and sys.stdout.isatty(),
            enable_model_summary=False,
            inference_mode=strategy != "fsdp",  # what is gathered there is read in training too
        )
    except (MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from None
    check_tasks(trainer.world_size)
    return trainer


def _progress() -> pl.Callback:
    """Return a progress bar for a terminal, else a line per epoch."""
    if not sys.stdout.isatty():
        return EpochLines()
    return pl.callbacks.RichProgressBar(console_kwargs={"file": verbatim(sys.stdout)})


class RunCheckpoints(TorchCheckpointIO):
    """Checkpoints written in one step, so that a killed process leaves a complete one or none, and checked when read.

    They name each other without the directory of the run, which may be moved.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written(Path(path), alone=True) as partial, partial.open("wb") as file:
            torch.save(here(checkpoint, Path()), file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint of this run, wherever that was moved; its best checkpoint knows which epoch is the best."""
        folder = Path(path).parent.resolve()
        checkpoint, best = here(read_checkpoint(Path(path)), folder), folder / BEST
        states = here(read_checkpoint(best), folder)["callbacks"] if best.is_file() else {}
        scores = {name for name, state in checkpoint["callbacks"].items() if state.get("monitor") == SCORE}
        if scores and not states:
            rank_zero_info(f"no {best}: the best epoch is chosen among those to come")
        kept = {name: state for name, state in checkpoint["callbacks"].items() if name not in scores}
        return checkpoint | {"callbacks": kept | {name: states[name] for name in scores if name in states}}


def with_possible_precision(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return the `trainer` section, with float32 instead of bfloat16 if the processor only emulates it; print a line.

    PyTorch's CPU kernels are fast in bfloat16 with AVX-512 or its equivalent. Elsewhere a training step takes several
    times as long as in float32, and is less exact.
    """
    accelerator = trainer["accelerator"]
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    if trainer["precision"] != "bf16-mixed" or not on_cpu or _has_bfloat16():
        return trainer
    rank_zero_info("trainer.precision: this processor only emulates bf16-mixed, slowly; computing in 32-true")
    return trainer | {"precision": "32-true"}


def _has_bfloat16() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
