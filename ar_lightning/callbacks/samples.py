"""Pictures of what a model has learnt: grids of samples and of completions, during and after training."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor

from ar_lightning.condition import Condition, rows_of
from ar_lightning.density import Density
from ar_lightning.fieldtypes import NonNegativeInt, PositiveFloat, PositiveInt
from ar_lightning.pictures import completion_grid, image_grid, save_png
from ar_lightning.tracking import Wandb

__all__ = ["SampleGrids"]

COMPLETED = 8  # test examples in a completion picture
COMPLETIONS = 6  # completions of each
MAX_COLUMNS = 20  # classes that get a column of their own in the samples of a conditional density


class SampleGrids(pl.Callback):
    """Grids of samples and of completions, every few epochs and at the end.

    Samples come from the averaged weights when EMA is on, are shared out over the ranks, and use a generator of their
    own, so that training does not depend on whether anyone looks. Those of a conditional density have a column a class.

    Args:
        every: epochs between pictures; 0 makes them at the end of training only.
        n: samples in a grid.
        temperature: below 1 sharpens, above 1 flattens each conditional; 1 draws from the density.
        completions: also complete test examples whose first half, in the model's order, is known.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        *,
        every: NonNegativeInt = 5,
        n: PositiveInt = 64,
        temperature: PositiveFloat = 1.0,
        completions: bool = True,
    ) -> None:
        self.folder, self.seed = folder, seed
        self.every, self.n, self.temperature, self.completions = every, n, temperature, completions

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw every few epochs, while the averaged weights are in place; `train.run` draws the final pictures."""
        epoch = trainer.current_epoch + 1
        if not trainer.sanity_checking and self.every and epoch % self.every == 0 and epoch != trainer.max_epochs:
            self.draw(trainer, pl_module, f"epoch-{epoch:04d}")

    @torch.no_grad()
    def draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> dict[str, str]:
        """Make the pictures on all ranks together; rank 0 writes `samples/NAME.png` and returns the paths by kind."""
        density: Any = pl_module.density
        classes = density.spec.classes if density.conditional else 0
        labels = torch.arange(self.n) % classes if classes else None
        columns = classes if classes <= MAX_COLUMNS else 0
        grids = {"samples": image_grid(self._shared(density, self.n, labels), density.spec, columns)}
        if self.completions:
            x, given = trainer.datamodule.split("test", COMPLETED)  # type: ignore[attr-defined]
            mask = first_half(density)
            known = x.repeat_interleave(COMPLETIONS, 0)
            cond = rows_of(given, torch.arange(len(x)).repeat_interleave(COMPLETIONS))
            drawn = self._shared(density, len(known), cond, known, mask)
            grids["completions"] = completion_grid(x, mask, drawn.view(len(x), COMPLETIONS, *x.shape[1:]), density.spec)
        paths = {}
        for kind, grid in grids.items():
            path = self.folder / f"{name}{'' if kind == 'samples' else '-completions'}.png"
            paths[kind] = str(path)
            if trainer.is_global_zero:
                save_png(grid, path)
                for logger in trainer.loggers:
                    if isinstance(logger, Wandb):
                        logger.log_picture(f"samples/{kind}", path, trainer.global_step, name)
        return paths

    def _shared(
        self,
        density: Density,
        n: int,
        cond: Tensor | Condition | None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Draw n samples, each rank its share; every rank returns all of them."""
        noise = density.noise(n, torch.Generator().manual_seed(self.seed))
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        mine = torch.arange(n)[rank::world]

        def part(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[mine]

        x = density.sample(len(mine), rows_of(cond, mine), part(known), mask, self.temperature, noise=noise[mine]).cpu()
        if world == 1:
            return x
        shares: list[Any] = [None] * world
        dist.all_gather_object(shares, x)
        together = torch.empty(n, *x.shape[1:], dtype=x.dtype)
        for r, share in enumerate(shares):
            together[r::world] = share
        return together


def first_half(density: Density) -> Tensor:
    """Return the mask `(C, *sites)` of the first half of the values in the model's order (raster: the upper rows)."""
    mask = torch.zeros(density.spec.dims, dtype=torch.bool)
    mask[density.model.order[: density.spec.dims // 2].cpu()] = True
    return mask.view(density.spec.shape)
