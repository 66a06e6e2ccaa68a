"""How training goes: a line per epoch for logs, examples per second for the loggers, and values for a sweep."""

import time
from typing import Any

import lightning.pytorch as pl

from ar_lightning.training.trial_pipe import METRICS, TrialPipe

__all__ = ["EpochLines", "Throughput", "TrialReporter"]


class EpochLines(pl.Callback):
    """One line per epoch, for logs and terminals that cannot draw a progress bar."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics, shown = trainer.callback_metrics, (("train", "train/bpd"), ("valid", "val/bpd"))
        parts = [f"{name} {float(metrics[key]):.4f}" for name, key in shown if key in metrics]
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        seconds = time.perf_counter() - self._since
        print(f"epoch {trainer.current_epoch + 1}{last}  {'  '.join(parts)} bits/dim  {seconds:.1f} s", flush=True)


class Throughput(pl.Callback):
    """Logs training examples per second once an epoch, over all ranks, and counts the seconds of training.

    `seconds` is the time of training alone, `total_seconds` since this process `started` (`time.perf_counter`) includes
    validation and sampling. Both continue on a resume from the values in its checkpoint.
    """

    def __init__(self, started: float) -> None:
        self.seconds = 0.0
        self._started = started

    @property
    def total_seconds(self) -> float:
        """Seconds of this run, in this process and in those it was resumed from."""
        return time.perf_counter() - self._started

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._examples, self._epoch_seconds, self._since = 0, 0.0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._examples += len(batch[0])
        if trainer.is_last_batch:
            self._epoch_seconds = time.perf_counter() - self._since
            self.seconds += self._epoch_seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rate = self._examples * trainer.world_size / max(self._epoch_seconds, 1e-9)
        pl_module.log("throughput/examples_per_second", rate, batch_size=1, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "total_seconds": self.total_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        # Older checkpoints know of no total, which was that of training at least.
        self._started -= state_dict.get("total_seconds", self.seconds)


class TrialReporter(pl.Callback):
    """Sends the metrics of an epoch to the worker of its trial; rank 0 gets the verdict, and all ranks follow it.

    `best` holds the metrics of the epoch with the lowest `val/nll`, whose checkpoint is kept; it survives a resume.
    """

    def __init__(self, pipe: TrialPipe | None) -> None:
        self.pipe = pipe
        self.best: dict[str, float] = {}
        self.pruned = self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report now that the training metrics of the epoch are known, and before `last.ckpt` is written."""
        if not self._validated:
            return
        self._validated = prune = False
        logged = {key.removeprefix("throughput/"): value for key, value in trainer.callback_metrics.items()}
        metrics = {key: float(logged[key]) for key in METRICS if key in logged}
        if not self.best or metrics["val/nll"] < self.best["val/nll"]:
            self.best = metrics
        if self.pipe is not None:
            prune = self.pipe.report(trainer.current_epoch + 1, metrics)
        self.pruned = bool(trainer.strategy.broadcast(prune))
        trainer.should_stop = trainer.should_stop or self.pruned

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
