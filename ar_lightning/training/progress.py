"""How training goes: lines for logs, examples per second for the loggers, and values for a sweep."""

import time
from typing import Any

import lightning.pytorch as pl

from ar_lightning.training.trial_pipe import METRICS, TrialPipe

__all__ = ["EpochLines", "Throughput", "TrialReporter"]

PAUSE = 30.0  # seconds between lines within an epoch


class EpochLines(pl.Callback):
    """A line per epoch, and some within a long one, for logs and terminals that cannot draw a progress bar."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = self._said = time.perf_counter()
        self._validated = False

    on_train_epoch_start = on_train_start  # a run that is resumed within an epoch does not start that

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if now - self._said < PAUSE or trainer.is_last_batch or not trainer.is_global_zero:
            return
        self._said = now
        done = f"{batch_idx + 1} of {trainer.num_training_batches} batches"
        known = trainer.callback_metrics.get("train/loss")  # not at once where a run is resumed within an epoch
        loss = "" if known is None else f"  loss {float(known):.4f}"
        print(f"{_epoch(trainer)}  {done}{loss}  {now - self._since:.0f} s", flush=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        spec, metrics = pl_module.density.spec, trainer.callback_metrics  # type: ignore[union-attr]
        key, unit = ("bpd", "bits/dim") if spec.levels or spec.quantised else ("nll", "nats")  # type: ignore[union-attr]
        new = ["train/", *(["val/"] if self._validated else [])]  # an older validation is not of this epoch
        names = {"train/": "train", "val/": "valid"}
        parts = [f"{names[split]} {float(metrics[split + key]):.4f}" for split in new if split + key in metrics]
        seconds = time.perf_counter() - self._since
        print(f"{_epoch(trainer)}  {'  '.join(parts)} {unit}  {seconds:.1f} s", flush=True)


def _epoch(trainer: pl.Trainer) -> str:
    last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.fit_loop.epoch_progress.current.ready}{last}"


class Throughput(pl.Callback):
    """Logs training examples per second once an epoch, over all ranks, and counts the seconds of training.

    `seconds` is the time of training alone, `total_seconds` since this process `started` (`time.perf_counter`) includes
    validation and sampling. Both continue on a resume from the values in its checkpoint.
    """

    def __init__(self, started: float) -> None:
        self.seconds = 0.0
        self.begun = False  # the training, in this process
        self._started = started

    @property
    def total_seconds(self) -> float:
        """Seconds of this run, in this process and in those it was resumed from."""
        return time.perf_counter() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._examples, self._before, self._since = 0, self.seconds, time.perf_counter()
        self.begun = True

    on_train_epoch_start = on_train_start  # a run that is resumed within an epoch does not start that

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._examples += len(batch[0])
        self.seconds = self._before + time.perf_counter() - self._since

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rate = self._examples * trainer.world_size / max(self.seconds - self._before, 1e-9)
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
