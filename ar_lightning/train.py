"""From a config to a trained and tested density: `run` fits, tests, samples and writes the run directory."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

from ar_lightning import __version__
from ar_lightning.callbacks.progress import EpochLines
from ar_lightning.callbacks.samples import SampleGrids
from ar_lightning.callbacks.throughput import Throughput
from ar_lightning.checks import build_dataset
from ar_lightning.config import DATA_MODULE, save_config
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density import build_density
from ar_lightning.errors import UserError
from ar_lightning.fieldtypes import Decay, NonNegativeFloat, PositiveFloat, PositiveInt
from ar_lightning.lit import LitDensity
from ar_lightning.pictures import curves_png
from ar_lightning.schema import schema_of
from ar_lightning.tracking import CSVMetrics, Wandb, make_loggers

__all__ = ["build_data_module", "build_lit", "make_trainer", "run"]


def make_trainer(
    run_dir: Path,
    loggers: list[Logger],
    callbacks: list[pl.Callback],
    *,
    max_epochs: PositiveInt = 20,
    max_steps: PositiveInt | None = None,
    max_hours: PositiveFloat | None = None,
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto",
    devices: int | str = "auto",
    num_nodes: PositiveInt = 1,
    strategy: Literal["auto", "ddp"] = "auto",
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true",
    gradient_clip: NonNegativeFloat | None = None,
    accumulate: PositiveInt = 1,
    ema: Decay | None = None,
    early_stopping: PositiveInt | None = None,
    val_every: PositiveInt = 1,
    log_every: PositiveInt = 10,
    compile: bool = False,
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
        num_nodes: machines of a multi-node training.
        strategy: how several devices share the work.
        precision: numbers of the forward and backward pass; likelihoods are float32 or better.
        gradient_clip: largest norm of the gradient.
        accumulate: batches per optimizer step.
        ema: decay of the averaged weights that are validated, tested and sampled; null for none.
        early_stopping: validations without improvement before training stops.
        val_every: epochs between validations.
        log_every: steps between logged losses.
        compile: compile the model with torch.compile.
        limit_train: batches per training epoch.
        limit_val: validation batches.
        limit_test: test batches.
        progress: show progress.
    """
    checkpoints = run_dir / "checkpoints"
    callbacks = [
        *callbacks,  # before EMA: samples are drawn while the averaged weights are in place
        *([EMAWeightAveraging(decay=ema, use_buffers=False)] if ema is not None else []),
        *([EarlyStopping("val/nll", patience=early_stopping)] if early_stopping else []),
        *([CompileModel()] if compile else []),
        LearningRateMonitor("epoch"),
        *(([RichProgressBar()] if sys.stdout.isatty() else [EpochLines()]) if progress else []),
        ModelCheckpoint(checkpoints, "best", monitor="val/nll", enable_version_counter=False),
        ModelCheckpoint(checkpoints, "last", save_on_train_epoch_end=True, enable_version_counter=False),
    ]
    return pl.Trainer(
        default_root_dir=run_dir,
        logger=loggers,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        max_epochs=max_epochs,
        max_steps=max_steps or -1,
        max_time=timedelta(hours=max_hours) if max_hours else None,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
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
    )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, whatever kills the process, and that hold no code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


class CompileModel(pl.Callback):
    """Compiles the model in place, so that its checkpoints load anywhere."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not any(shutil.which(c) for c in (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")):
            rank_zero_info("trainer.compile: no C++ compiler on this machine, training runs eagerly")
            return
        pl_module.density.model.compile()  # type: ignore[operator, union-attr]


def build_data_module(config: dict[str, Any]) -> ArrayDataModule:
    """Build the DataModule that the `data` section describes."""
    section = config["data"]
    module_keys = schema_of(DATA_MODULE).fields
    return ArrayDataModule(build_dataset(section), config["seed"], **{k: section[k] for k in module_keys})


def build_lit(config: dict[str, Any], data: ArrayDataModule) -> LitDensity:
    """Build the LightningModule; its initial weights are a function of the seed."""
    torch.manual_seed(config["seed"])
    return LitDensity(build_density(config, data.spec), config)


def run(config: dict[str, Any], run_dir: Path, resume: bool = False) -> dict[str, Any]:
    """Train, test and sample; return what is written to `result.json`.

    Args:
        config: the resolved config.
        run_dir: where everything is written; new or empty unless resuming.
        resume: continue from `checkpoints/last.ckpt`, or from the start if none was written.

    Raises:
        UserError: the config, data or machine does not allow it.
        KeyboardInterrupt: the user stopped it; it can be resumed.
    """
    _quieten()
    started = time.perf_counter()
    data = build_data_module(config)
    lit = build_lit(config, data)
    if rank_zero_only.rank == 0:
        run_dir.mkdir(parents=True, exist_ok=True)
        save_config(config, run_dir / "config.yaml")
    throughput = Throughput()
    samples = SampleGrids(run_dir / "samples", config["seed"], **config["samples"])
    loggers = make_loggers(run_dir, config, **config["tracking"])
    trainer = _trainer(run_dir, loggers, [samples, throughput], config["trainer"])
    last = run_dir / "checkpoints" / "last.ckpt"
    checkpoint = last if resume and last.exists() else None
    for logger in loggers:
        if isinstance(logger, CSVMetrics):
            logger.resume_at(_last_step(checkpoint) if checkpoint else -1)
    _announce(config, run_dir, data, lit, checkpoint)
    _fit(trainer, lit, data, checkpoint)
    best = Path(trainer.checkpoint_callbacks[0].best_model_path or last)  # type: ignore[attr-defined]
    lit.load_state_dict(torch.load(best, map_location=lit.device, weights_only=True)["state_dict"])
    trainer.test(lit, data, verbose=False)
    pictures = samples.draw(trainer, lit, "final")
    result = _result(config, trainer, lit, data, throughput.seconds, time.perf_counter() - started, pictures)
    if trainer.is_global_zero:
        curves_png(run_dir / "metrics.csv", run_dir / "curves.png", config["experiment"])
        _write_json(result, run_dir / "result.json")
        for logger in loggers:
            if isinstance(logger, Wandb):
                logger.finish({k: v for k, v in result.items() if not isinstance(v, (dict, list))}, best)
    return result


def _trainer(run_dir: Path, loggers: list[Logger], callbacks: list[pl.Callback], section: dict[str, Any]) -> pl.Trainer:
    try:
        return make_trainer(run_dir, loggers, callbacks, **section)
    except (pl.utilities.exceptions.MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from None


def _fit(trainer: pl.Trainer, lit: LitDensity, data: ArrayDataModule, checkpoint: Path | None) -> None:
    try:
        trainer.fit(lit, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None


def _announce(
    config: dict[str, Any], run_dir: Path, data: ArrayDataModule, lit: LitDensity, checkpoint: Path | None
) -> None:
    parameters = sum(p.numel() for p in lit.parameters())
    rank_zero_info(
        f"{config['model']['name']} on {config['data']['name']}: {data.spec}, {parameters:,} parameters\n"
        f"{'resuming' if checkpoint else 'writing to'} {run_dir}"
    )


def _last_step(checkpoint: Path) -> int:
    """Return the number, from zero, of the last optimizer step that a checkpoint holds."""
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]) - 1


def _result(
    config: dict[str, Any], trainer: pl.Trainer, lit: LitDensity, data: ArrayDataModule, training_seconds: float,
    seconds: float, pictures: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    metrics = trainer.callback_metrics
    best = trainer.checkpoint_callbacks[0].best_model_score  # type: ignore[attr-defined]
    return {
        "experiment": config["experiment"],
        "model": config["model"]["name"],
        "data": config["data"]["name"],
        "regime": data.regime,
        "test/nll": float(metrics["test/nll"]),
        "test/bpd": float(metrics["test/bpd"]),
        "val/nll": None if best is None else float(best),
        "test_examples": len(data.split("test")[0]),
        "parameters": sum(p.numel() for p in lit.parameters()),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seconds_training": round(training_seconds, 1),
        "seconds_total": round(seconds, 1),
        "seed": config["seed"],
        "world_size": trainer.world_size,
        "device": str(lit.device),
        "pictures": pictures,
        "versions": {
            "ar_lightning": __version__, "python": sys.version.split()[0],
            **{name: version(name) for name in ("torch", "lightning", "numpy")},
        },
        "git": _git_revision(),
    }  # fmt: skip


def _git_revision() -> str | None:
    """Return the commit of the project's checkout, with `-dirty` where files were changed; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _write_json(value: dict[str, Any], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    partial.replace(path)


def _quieten() -> None:
    """Keep Lightning's advice about things this project has decided out of the terminal."""
    for message in (
        ".*does not have many workers.*", ".*Checkpoint directory .* exists and is not empty.*", ".*LeafSpec.*",
        ".*You are using `torch.load` with `weights_only=False`.*", ".*isinstance\\(treespec.*",
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*You're resuming from a checkpoint that ended before the epoch ended.*",
    ):  # fmt: skip
        warnings.filterwarnings("ignore", message)
    import logging

    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith(_CHATTER))


_CHATTER = (
    "GPU available", "TPU available", "HPU available", "💡", "`Trainer", "Trainer already configured",
    "Trainer will use only", "Restoring states", "Restored all states", "Found current_model_state", "Loading",
)  # fmt: skip
