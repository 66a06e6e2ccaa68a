"""A training that ended within an epoch, by `max_steps` or `max_hours` or killed, goes on as if it had not."""

from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.utilities.rank_zero import rank_zero_info

__all__ = ["WithinEpoch"]

KEY = "within_epoch"  # in a checkpoint


class WithinEpoch(pl.Callback):
    """Keeps what an epoch has come to, for each process, in a checkpoint that is written within it.

    That is the batches read, the state of the random number generators, the sums of the metrics and the memory of a
    stream. On another number of processes the batches are the same, but not the random numbers, and what other
    processes had summed up is missing in the epoch's training metrics.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: pl.Trainer, lit: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.is_last_batch or trainer.current_epoch == trainer.fit_loop.epoch_progress.current.ready:
            return  # the epoch has ended, or was broken off
        sums = {name: metric.metric_state for name, metric in lit.metrics.items() if name.startswith("train_")}  # type: ignore[union-attr, operator]
        own = {
            "batches": trainer.fit_loop.epoch_loop.batch_progress.current.ready,
            "random": _generators(lit.device), "metrics": sums, "memory": lit.memories["train"],  # type: ignore[index]
        }  # fmt: skip
        own = move_data_to_device(own, "cpu")
        states: list[Any] = [own] * trainer.world_size
        if trainer.world_size > 1:
            dist.all_gather_object(states, own)
        checkpoint[KEY] = states

    def on_load_checkpoint(self, trainer: pl.Trainer, lit: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get(KEY)
        if states is None:
            if not checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]:
                rank_zero_info(
                    f"resuming after epoch {checkpoint['epoch'] + 1}, which was broken off: its rest is left out"
                )
            return
        if len(states) != trainer.world_size:
            what = f"{len(states)} processes, now {trainer.world_size}"
            rank_zero_info(f"resuming within an epoch that began on {what}: the rest of it draws other random numbers")
        self.state = states[min(trainer.global_rank, len(states) - 1)]
        if trainer.global_rank >= len(states):
            self.state = self.state | {"metrics": {}}

    def on_train_start(self, trainer: pl.Trainer, lit: pl.LightningModule) -> None:
        if self.state is None:
            return
        state = move_data_to_device(self.state, lit.device)
        self.state = None
        trainer.datamodule.skip(state["batches"])  # type: ignore[attr-defined]
        for name, sums in state["metrics"].items():
            for key, value in sums.items():
                setattr(lit.metrics[name], key, value)  # type: ignore[index]
        lit.memories["train"] = state["memory"]  # type: ignore[index, operator]
        torch.set_rng_state(state["random"][0].cpu())
        if len(state["random"]) > 1 and lit.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"][1].cpu(), lit.device)


def _generators(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the generators that a training draws from: the CPU's, and that of a GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
