"""Open a run after its training: its density where there is a device for it, and its own data or other data."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ar_lightning.config.build import build_data_module, build_dataset
from ar_lightning.config.checks import check_config, check_there
from ar_lightning.config.devices import check_devices, may_have
from ar_lightning.config.overlay import Settings, flat, parse_overrides
from ar_lightning.config.registry import DATA
from ar_lightning.config.resolve import resolve
from ar_lightning.config.sections import section_schema
from ar_lightning.config.slurm import leave_allocation
from ar_lightning.config.values import conform
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.relabelled import relabelled
from ar_lightning.density.density import Density
from ar_lightning.training.checkpoints import read_checkpoint, rebuild, restoring, written_at
from ar_lightning.training.locate import checkpoint_of
from ar_lightning.training.zoo import home_of, is_zoo

if TYPE_CHECKING:
    from lightning.fabric import Fabric

__all__ = ["Run", "SavedRun", "folder_of", "open_run", "read_run"]

CHANGEABLE = ("trainer.accelerator", "trainer.devices")


@dataclass(frozen=True)
class SavedRun:
    """A run as its checkpoint has it, in main memory."""

    file: Path  # the checkpoint, or exported weights
    checkpoint: dict[str, Any]  # its content
    folder: Path  # where what follows is written if nothing else is said
    config: dict[str, Any]  # of the training, with what was changed
    changed: frozenset[str]  # keys

    def density(self, device: str | torch.device = "cpu", length: int | None = None) -> Density:
        """Build the density, in eval mode; `length` is the number of sites of a sequence, null for the trained one."""
        return rebuild(self.checkpoint, self.file, device, length)

    def data(self) -> ArrayDataModule:
        """Build the data that the density was trained on."""
        check_there(self.config, self.changed)
        spec = DataSpec.from_dict(self.checkpoint[CHECKPOINT_KEY]["data"])
        dataset = build_dataset(self.config["data"]).in_terms_of(spec)
        if self.config["model"].get("conditional"):
            dataset = relabelled(dataset, spec)
        return build_data_module(self.config, dataset)


@dataclass(frozen=True)
class Run:
    """A run to compute with."""

    density: Density  # in eval mode, on its device
    config: dict[str, Any]  # of the run, with what was changed
    changed: frozenset[str]  # keys
    folder: Path  # where what follows is written if nothing else is said
    written_at: tuple[int, int]  # epoch, from one, and step of the weights
    fabric: "Fabric"  # device and precision

    def computing(self) -> AbstractContextManager[None]:
        """Compute in the precision of the training."""
        return self.fabric.autocast()

    def data(self) -> ArrayDataModule:
        """Build the data that the config describes; a `UserError` says what the model cannot take."""
        check_there(self.config, self.changed)
        dataset = check_config(self.config, self.density.spec)
        if self.density.conditional:
            dataset = relabelled(dataset, self.density.spec)
        return build_data_module(self.config, dataset)


def read_run(run: str | Path, overrides: Sequence[str] = (), also: Sequence[str] = ()) -> SavedRun:
    """Read the checkpoint of a run directory, a file, a density of the zoo, or a W&B artifact, which is downloaded.

    Overrides are `key=value` of the data, which may be other data or elsewhere, and of the keys in `also`.
    """
    file = checkpoint_of(run)
    checkpoint = read_checkpoint(file)
    where, changed = parse_overrides(overrides)
    for key in changed:
        if not key.startswith("data.") and key not in also:
            raise UserError(f"{where}: {key} is fixed by the training; {', '.join(('data.*', *also))} can change")
    settings = _for_data(flat(str(file), checkpoint[CHECKPOINT_KEY]["config"]), changed.get("data.name"))
    folder = home_of(run) if is_zoo(run) else folder_of(file)
    return SavedRun(file, checkpoint, folder, resolve(settings, changed, where), frozenset(changed))


def folder_of(file: Path) -> Path:
    """Return the run directory of a checkpoint, or the folder of one that lies elsewhere."""
    return file.parent.parent if file.parent.name == "checkpoints" else file.parent


def open_run(run: str | Path, overrides: Sequence[str] = (), resize: bool = False) -> Run:
    """Load a run's density, with a config in which data and device may differ from those of the training.

    Overrides are `key=value` of the data, and of where to compute. To `resize` lets a density of sequences of any
    length take the length of the data that the config describes.
    """
    saved = read_run(run, overrides, CHANGEABLE)
    config, changed = saved.config, saved.changed
    fabric = _fabric(config, changed)
    length = None
    if resize:
        check_there(config, changed)
        own = DataSpec.from_dict(saved.checkpoint[CHECKPOINT_KEY]["data"])
        trained, shape = list(own.shape), list(check_config(config, own).spec.shape)
        longer = len(shape) == len(trained) == 2 and shape[:1] == trained[:1] and shape != trained
        length = shape[-1] if longer else None
    with restoring(saved.file):
        when = written_at(saved.checkpoint)
    return Run(saved.density(fabric.device, length), config, changed, saved.folder, when, fabric)


def _for_data(settings: Settings, name: Any) -> Settings:
    """Return a run's settings without the path of its data and the keys that another dataset does not have."""
    if name in (None, settings["data.name"]) or name not in DATA:
        return settings
    fields = section_schema("data", name).fields

    def kept(key: str, value: Any) -> bool:
        section, _, field = key.partition(".")
        if section != "data" or field == "name":
            return True
        try:
            return field in fields and field != "path" and conform(fields[field].annotation, value) == value
        except ValueError:
            return False

    return {key: value for key, value in settings.items() if kept(key, value)}


def _fabric(config: dict[str, Any], changed: frozenset[str]) -> "Fabric":
    """Choose one device and the precision of the training; the config then says so."""
    from lightning.fabric import Fabric
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from ar_lightning.training.trainer import with_possible_precision

    leave_allocation()
    trainer = config["trainer"]
    if "trainer.accelerator" not in changed and not may_have(trainer["accelerator"]):
        trainer["accelerator"] = "auto"
    if "trainer.devices" not in changed or str(trainer["devices"]) == "auto":
        trainer["devices"] = 1
    trainer["num_nodes"] = 1
    check_devices(trainer)
    devices = str(trainer["devices"])
    if devices != "1" and not re.fullmatch(r"\d+,", devices):
        raise UserError(f"trainer.devices={devices}: this takes one device; give 1, or its number as '0,'")
    trainer = config["trainer"] = with_possible_precision(trainer)
    if trainer["threads"]:
        torch.set_num_threads(trainer["threads"])  # rounding depends on it
    try:
        return Fabric(accelerator=trainer["accelerator"], devices=trainer["devices"], precision=trainer["precision"])
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from None
