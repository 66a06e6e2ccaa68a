"""What the terminal shows while a model trains."""

import time

import lightning.pytorch as pl

__all__ = ["EpochLines"]

SHOWN = (("train", "train/bpd"), ("valid", "val/bpd"))


class EpochLines(pl.Callback):
    """One line per epoch, for logs and terminals that cannot draw a progress bar."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        parts = [f"{name} {float(metrics[key]):.4f}" for name, key in SHOWN if key in metrics]
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        seconds = time.perf_counter() - self._since
        print(f"epoch {trainer.current_epoch + 1}{last}  {'  '.join(parts)} bits/dim  {seconds:.1f} s", flush=True)
