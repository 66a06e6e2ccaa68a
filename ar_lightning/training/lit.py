"""The one LightningModule: trains any density by maximum likelihood."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from ar_lightning import __version__
from ar_lightning.config.registry import make
from ar_lightning.core.condition import Condition, Given, as_condition
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.core.medium import MixedTable
from ar_lightning.density.density import MAX_CLASSES, Density
from ar_lightning.density.lengths import symbols_of
from ar_lightning.density.members import log_mean
from ar_lightning.density.metrics import (
    BitsPerDim,
    ColumnLikelihood,
    ColumnShare,
    MixtureLikelihood,
    NegativeLogLikelihood,
)
from ar_lightning.density.step import Step
from ar_lightning.density.stream import Memory, carried
from ar_lightning.training.sharded import gather, whole

__all__ = ["LitDensity"]

Batch = tuple[Tensor, Given]
INITIAL = 64  # training examples that weights are initialised on, where the model does that


class LitDensity(pl.LightningModule):
    """Minimises the mean of `density.loss`; scores by exact nats per example and bits per dimension.

    The resolved config is kept in every checkpoint, so that `load` needs nothing else.
    """

    def __init__(self, density: Density, config: dict[str, Any]) -> None:
        super().__init__()
        self.density = density
        self.config = config
        # One pair of metrics a stage: their states are reset at the end of its epoch.
        self.metrics = torch.nn.ModuleDict({
            f"{stage}_{name}": metric
            for stage in ("train", "val", "test")
            for name, metric in (("nll", NegativeLogLikelihood()), ("bpd", BitsPerDim(density.spec.dims)))
        })  # fmt: skip
        self.columns: tuple[ColumnShare, ...] = ()  # of a mixed table, once it is tested
        if isinstance(density.spec.medium, MixedTable):
            self.metrics["test_columns"] = ColumnLikelihood(density.spec.medium)
        self.mixtures: dict[int, float] = {}  # nats by number of members, once a mixture is tested
        self.started: frozenset[str] = frozenset()  # names, in the density, of weights that are of another training
        # One memory a stage, for streams: a validation leaves that of the training alone.
        self.memories: dict[str, Memory] = {"train": {}, "val": {}, "test": {}}
        if density.conditional and density.spec.classes <= MAX_CLASSES:
            self.metrics["test_accuracy"] = MulticlassAccuracy(
                density.spec.classes, average="micro", validate_args=False
            )
        if density.model.members > 1:
            self.metrics["test_members"] = MixtureLikelihood(density.model.members)

    def setup(self, stage: str) -> None:
        """Let a model with data-dependent initialisation see examples, the same on all processes.

        Weights that are of another training stay. EMA starts later, as a copy of the weights after the first step; a
        checkpoint is loaded after this.
        """
        if stage == "fit" and self.density.model.initialises:
            weights = self.density.state_dict()
            kept = {name: weights[name].clone() for name in self.started}
            x, given = self.trainer.datamodule.split("train", INITIAL)  # type: ignore[attr-defined]
            device = self.density.device  # not self.device, where the weights are yet to go
            cond = Condition(*(None if t is None else t.to(device) for t in as_condition(given)))
            self.density.model.initialise(self.density.encode(x.to(device)), self.density.condition_of(cond))
            self.density.load_state_dict(kept, strict=False)

    def on_train_epoch_start(self) -> None:
        """Make an epoch's randomness a function of seed and epoch alone, so that a resumed run repeats it exactly."""
        torch.manual_seed(epoch_seed(self.config["seed"], self.current_epoch, self.global_rank))

    def _reading(self, stage: str, x: Tensor, index: int) -> AbstractContextManager[None]:
        """Carry the memory of the model from the window before, if the data are a stream, which an epoch begins."""
        if not self.config["data"]["stream"]:
            return nullcontext()
        if index == 0:
            self.memories[stage] = {}
        return carried(self.density.model, self.memories[stage], len(x))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        x, cond = batch
        step = Step(self.global_step, self.config["seed"], self.global_rank, self.trainer.world_size)
        with self._reading("train", x, index):
            loss = self.density.loss(x, cond, step)
        self._update("train", loss.detach(), x)
        mean = loss.mean()
        if index == 0 or self._is_logged():
            self.log("train/loss", mean, on_step=True, on_epoch=False, prog_bar=True, batch_size=len(loss))
        return mean

    def validation_step(self, batch: Batch, index: int) -> None:
        with self._reading("val", batch[0], index):
            self._update("val", -self.density.log_prob(*batch), batch[0])

    def on_validation_epoch_start(self) -> None:
        gather(self.density)

    def on_validation_epoch_end(self) -> None:
        """Stop a training that has diverged: its likelihood is no longer a number."""
        gather(self.density, on=False)
        metric: Any = self.metrics["val_nll"]
        if not torch.isfinite(metric.compute()):
            raise UserError(
                f"the training diverged: val/nll is {metric.compute().item()} after epoch {self.current_epoch + 1}; "
                "lower optimizer.lr, or set trainer.gradient_clip=1"
            )

    def on_test_start(self) -> None:
        if "test_accuracy" in self.metrics:
            prior = self.trainer.datamodule.class_prior()  # type: ignore[attr-defined]
            self.log_prior = prior.log().to(self.device)  # (classes,); -inf for a class that never occurs

    def test_step(self, batch: Batch, index: int) -> None:
        """Score the examples; a conditional density also classifies them, by argmax_y p(x | y) p(y)."""
        if "test_columns" in self.metrics:  # of the first member, where several are averaged
            columns: Any = self.metrics["test_columns"]
            columns.update(-self.density.terms(*batch)[:, 0], self.density.scored(batch[0])[:, 0])
        if "test_accuracy" not in self.metrics:
            with self._reading("test", batch[0], index):
                log_p = self.density.member_log_probs(*batch)
            self._update("test", -log_mean(log_p), batch[0])
            self._update_members(log_p)
            return
        x, cond = batch
        if "test_members" in self.metrics:
            self._update_members(self.density.member_log_probs(x, cond))
        labels: Any = as_condition(cond).labels
        log_p = self.density.class_log_probs(x, cond)  # (B, classes)
        self._update("test", -log_p.gather(1, labels[:, None])[:, 0], x)
        accuracy: Any = self.metrics["test_accuracy"]
        accuracy.update((log_p + self.log_prior).argmax(1), labels)
        self.log("test/accuracy", accuracy, on_step=False, on_epoch=True, batch_size=len(x))

    def _update_members(self, log_p: Tensor) -> None:
        """Add log p(x) under each member `(members, B)`, where there are several."""
        if "test_members" in self.metrics:
            mixtures: Any = self.metrics["test_members"]
            mixtures.update(log_p)

    def on_test_epoch_end(self) -> None:
        """Log the share of each column of a mixed table; keep what the first members of a mixture come to."""
        if "test_members" in self.metrics:
            mixtures: Any = self.metrics["test_members"]
            self.mixtures = mixtures.by_size()
            mixtures.reset()
        if "test_columns" in self.metrics:
            columns: Any = self.metrics["test_columns"]
            self.columns = columns.shares()
            self.log_dict({f"test/nll/{share.name}": share.nll for share in self.columns}, batch_size=1)
            columns.reset()

    def _update(self, stage: str, nll: Tensor, x: Tensor) -> None:
        """Add a batch to the metrics; Lightning gets them once an epoch, and computes them at its end."""
        for name in ("nll", "bpd"):
            metric: Any = self.metrics[f"{stage}_{name}"]
            metric.update(nll, *([symbols_of(x, self.density.spec)] if name == "bpd" else []))
            if metric.update_count == 1:  # the first of the epoch, or of what is left of it
                shown = (stage, name) == ("val", "bpd" if self.density.spec.has_bpd else "nll")
                self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True, prog_bar=shown, batch_size=len(nll))

    def _is_logged(self) -> bool:
        """Return whether this optimizer step is logged."""
        return (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined, no-any-return]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the norm of the gradient before clipping, at the steps that are logged."""
        if self._is_logged():
            grads = [p.grad for p in self.parameters() if p.grad is not None]
            self.log("train/grad_norm", whole(torch.nn.utils.get_total_norm(grads)), batch_size=1)

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.density.parameters() if p.requires_grad]
        optimizer = make("optimizer", self.config["optimizer"], trained)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = make("schedule", self.config["schedule"], optimizer, steps)
        if schedule and "monitor" in schedule:
            schedule["frequency"] = self.config["trainer"]["val_every"]
        return {"optimizer": optimizer, "lr_scheduler": schedule} if schedule else optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[CHECKPOINT_KEY] = {
            "version": __version__, "config": self.config, "data": self.density.spec.to_dict(),
            **({"fingerprint": self.trainer.datamodule.fingerprint} if self._trainer else {}),  # type: ignore[attr-defined]
        }  # fmt: skip

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the weights that were trained, not from their average, once that is no longer taken."""
        if self.config["trainer"]["ema"] is None and "current_model_state" in checkpoint:
            checkpoint["state_dict"] = checkpoint["current_model_state"]


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Return a seed that differs between epochs and ranks."""
    return (seed * 1_000_003 + epoch * 1_009 + rank) % 2**63
