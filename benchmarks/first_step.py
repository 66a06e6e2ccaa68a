"""A training that ends after its first optimizer step: `python -m benchmarks.first_step {ours,minimal}`.

`ours` trains `conf/nade.yaml` as `run.py` does, with what it writes and tracks. `minimal` is what nobody can do without
who trains by Lightning: a network of as many weights, the same rows in a `DataLoader`, and a Trainer that logs nothing.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

ROOT = Path(__file__).parents[1]


def minimal() -> None:
    import lightning.pytorch as pl
    from sklearn.datasets import load_digits
    from torch.utils.data import DataLoader, TensorDataset

    class Autoencoder(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(64, 200), torch.nn.Sigmoid(), torch.nn.Linear(200, 64))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return torch.nn.functional.mse_loss(self.net(batch[0]), batch[0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), 3e-3)

    rows = DataLoader(TensorDataset(torch.from_numpy(load_digits().data).float() / 16), 32, shuffle=True)
    pl.Trainer(max_epochs=1, logger=False, accelerator="cpu", devices=1).fit(Autoencoder(), rows)


def ours() -> None:
    from ar_lightning.cli import main

    main(["--config", str(ROOT / "conf" / "nade.yaml"), "trainer.accelerator=cpu", "trainer.devices=1",
          "tracking.mode=offline"])  # fmt: skip


def main(name: str) -> None:
    """Start a training, write what it writes into the working directory, and end this process at the first step."""
    hook = register_optimizer_step_post_hook(lambda *_: os._exit(0))
    try:
        {"ours": ours, "minimal": minimal}[name]()
    finally:
        hook.remove()


if __name__ == "__main__":
    main(sys.argv[1])
