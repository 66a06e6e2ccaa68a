"""A training as a trial of a sweep: it reports every validation, and stops if the sweep prunes it."""

from typing import Any

import lightning.pytorch as pl

from ar_lightning.training.trial_pipe import METRICS, TrialPipe

__all__ = ["TrialReporter"]


class TrialReporter(pl.Callback):
    """Sends the metrics of an epoch to the worker; rank 0 has the pipe and gets the verdict, and all ranks follow it.

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
