"""Samples and completions, drawn during and after training."""

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor

from ar_lightning.core.condition import Condition, Given, repeated, rows_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Count, NonNegativeInt, Temperature
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density
from ar_lightning.density.lengths import first_part, lengths_of
from ar_lightning.media.choose import media_of
from ar_lightning.media.mixed import MixedTables
from ar_lightning.media.plots import drawn
from ar_lightning.tracking.loggers import Wandb
from ar_lightning.tracking.tensorboard import TensorBoard

__all__ = ["SampleGrids", "given_values"]

COMPLETED = 8  # test examples in a completion picture
MAX_COLUMNS = 20  # classes that get a column of their own in the samples of a conditional density


class SampleGrids(pl.Callback):
    """Samples and completions, as pictures, sound, text or tables, every few epochs and at the end.

    Samples come from the averaged weights when EMA is on, are shared out over the ranks, and use a generator of their
    own, so that training does not depend on them. Samples of a conditional density have a column for each class.

    Args:
        every: epochs between samples; 0 draws them at the end of training only.
        n: number of samples.
        temperature: below 1 sharpens, above 1 flattens each conditional; 1 draws from the density.
        completions: also complete test examples whose first half, in the model's order, is known; of tables there are
            none.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 0,
        *,
        every: NonNegativeInt = 5,
        n: Count = 64,
        temperature: Temperature = 1.0,
        completions: bool = True,
    ) -> None:
        self.folder, self.seed = folder, seed
        self.rate = 0.0  # samples a second, of the last draw
        self.every, self.n, self.temperature, self.completions = every, n, temperature, completions

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw every few epochs, while the averaged weights are in place; `train.run` draws the final pictures."""
        epoch = trainer.current_epoch + 1
        if not trainer.sanity_checking and self.every and epoch % self.every == 0 and epoch != trainer.max_epochs:
            self.draw(trainer, pl_module, f"epoch-{epoch:04d}")

    @torch.no_grad()
    def draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str) -> dict[str, str]:
        """Draw on all ranks together; rank 0 writes `samples/NAME.*` and returns the paths by kind."""
        density: Any = pl_module.density
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        classes = density.spec.classes if density.conditional else 0
        cond = Condition(torch.arange(self.n) % classes if classes else None)
        if density.model.features or density.model.context:  # of test examples: there is no density of these
            cond, classes = repeated(data.split("test", self.n)[1], self.n), 0
        known, mask = given_values(density, data, self.n)
        started = time.perf_counter()
        x = self._shared(density, self.n, cond, known, mask)
        self.rate = self.n / (time.perf_counter() - started)
        media = media_of(density.spec)
        shown = self.completions and media.completions
        completed = self._completions(density, data, shown) if shown else None
        if not trainer.is_global_zero:
            return {}
        stem = self.folder / name
        columns = classes if classes <= MAX_COLUMNS else 0
        examples = data.split("train")[0] if media.compared else None
        files = drawn(stem, lambda: media.write_samples(x, stem, examples, columns)) or {}
        if isinstance(media, MixedTables) and cond.labels is not None and "samples" in files:
            media.write_labelled(x, cond.labels, files["samples"])
        if completed is not None:
            beside = stem.with_name(f"{name}-completions")
            files |= drawn(beside, lambda: media.write_completions(*completed, beside)) or {}
        for logger in trainer.loggers:
            if isinstance(logger, Wandb | TensorBoard):
                for kind, path in files.items():  # steps count from zero: where the metrics of the last one are
                    logger.log_file(f"samples/{kind}", path, max(trainer.global_step - 1, 0), name)
        return {kind: str(path) for kind, path in files.items()}

    def _completions(self, density: Density, data: Any, each: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return test examples, masks `(M, C, *sites)` of what is known of them, and completions `(N, M, K, ...)`.

        There are `each` of an example, shared among the masks.
        """
        x, given = data.split("test", COMPLETED)
        masks = known_parts(density)
        if density.spec.end is not None:
            masks = first_part(density.spec, lengths_of(x, density.spec.end) - 1)[None]
        n, m, k = len(x), len(masks), max(1, each // len(masks))
        rows = torch.arange(n).repeat_interleave(m * k)
        mask = masks.repeat_interleave(k, 0).repeat(n, *[1] * (masks.ndim - 1))
        filled = self._shared(density, n * m * k, rows_of(given, rows), x[rows], mask)
        return x, masks, filled.view(n, m, k, *x.shape[1:])

    def _shared(
        self, density: Density, n: int, cond: Given, known: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Draw n samples, each rank its share; every rank returns all of them."""
        noise = density.noise(n, torch.Generator().manual_seed(self.seed))
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        mine = torch.arange(n)[rank::world]
        known, mask = (None if t is None else t[mine] for t in (known, mask))
        x = density.sample(len(mine), rows_of(cond, mine), known, mask, self.temperature, noise=noise[mine]).cpu()
        if world == 1:
            return x
        shares: list[Any] = [None] * world
        dist.all_gather_object(shares, x)
        together = torch.empty(n, *x.shape[1:], dtype=x.dtype)
        for r, share in enumerate(shares):
            together[r::world] = share
        return together


def given_values(density: Density, data: ArrayDataModule, n: int) -> tuple[Tensor | None, Tensor | None]:
    """Return rows `(n, C, *sites)` of the test split, whose given columns n samples have, and a mask of these.

    Both are None where no columns are given. Rows that lack one of these are left out.

    Raises:
        UserError: all rows do.
    """
    if not density.spec.given:
        return None, None
    x = data.split("test")[0]
    unread = density.likelihood.unread(x.to(density.device))
    if unread is not None:
        x = x[~unread[..., : density.spec.given].flatten(1).any(1).cpu()]
    if not len(x):
        raise UserError("data: no test row has all the columns that are given")
    rows = torch.arange(n) % len(x) if n >= len(x) else torch.arange(n) * len(x) // n  # spread evenly
    return x[rows], density.given_mask(n)


def known_parts(density: Density) -> Tensor:
    """Return masks `(M, C, *sites)` for completions, True where a value is known.

    Only a density for all orders can complete any part exactly: the left half, the right half and a random half of an
    image. Others are told the first half of the values in their order (raster: the upper rows).
    """
    shape = density.spec.shape
    if density.model.orderless and len(shape) == 3:
        left = torch.zeros(shape, dtype=torch.bool)
        left[..., : shape[2] // 2] = True
        places = torch.rand(shape[1:], generator=torch.Generator().manual_seed(0))
        return torch.stack([left, ~left, (places < places.median()).expand(shape)])
    mask = torch.zeros(density.spec.dims, dtype=torch.bool)
    mask[density.model.order[: density.spec.dims // 2].cpu()] = True
    return mask.view(1, *shape)
