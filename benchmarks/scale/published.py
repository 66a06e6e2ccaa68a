"""The published models of CIFAR-10, at their sizes, on random images."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from ar_lightning.config.build import build_density
from ar_lightning.config.registry import make
from ar_lightning.config.resolve import load_config
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density

__all__ = ["CIFAR10", "Sized", "flops_of", "images", "sized"]

CIFAR10 = sorted(Path("conf", "published").glob("*_cifar10.yaml"))
SPEC = DataSpec((3, 32, 32), 256)


class Sized(NamedTuple):
    """A density of a config, with its optimizer."""

    config: dict[str, Any]
    density: Density
    optimizer: Optimizer

    def step(self, x: Tensor) -> None:
        """Do one training step."""
        self.optimizer.zero_grad()
        self.density.loss(x).mean().backward()
        self.optimizer.step()


def sized(file: Path) -> Sized:
    """Build what a config describes, for CIFAR-10."""
    config = load_config(file)
    torch.manual_seed(0)
    density = build_density(config, SPEC).train()
    return Sized(config, density, make("optimizer", config["optimizer"], density.parameters()))


def images(n: int) -> Tensor:
    """Return random images `(n, 3, 32, 32)`."""
    return torch.randint(SPEC.levels or 0, (n, *SPEC.shape))


def flops_of(density: Density) -> int:
    """Return the operations of matrix products and convolutions in a training step of one image, two a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        density.loss(images(1)).mean().backward()
    return int(counter.get_total_flops())
