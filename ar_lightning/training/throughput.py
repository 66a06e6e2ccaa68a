"""How fast training goes."""

import time
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

__all__ = ["Throughput"]


class Throughput(pl.Callback):
    """Logs training examples per second once an epoch, over all ranks, and counts the seconds of training.

    `seconds` is without validation and sampling, `total_seconds` with all. Both survive a resume, but for what was done
    after the checkpoint that is resumed from.

    Args:
        started: when this process began, by `time.perf_counter`.
    """

    def __init__(self, started: float) -> None:
        self.seconds = 0.0
        self._started = started
        self._examples = 0
        self._epoch_seconds = 0.0
        self._since = 0.0

    @property
    def total_seconds(self) -> float:
        """Seconds of this run, in this process and in those it was resumed from."""
        return time.perf_counter() - self._started

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._examples, self._epoch_seconds, self._since = 0, 0.0, time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, ...],
        batch_idx: int,
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
