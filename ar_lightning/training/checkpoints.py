"""Checkpoints: read, and rebuilt as densities."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ar_lightning import __version__
from ar_lightning.config.build import build_density
from ar_lightning.config.registry import find
from ar_lightning.config.resolve import saved_config
from ar_lightning.core.errors import UserError, first_line, is_out_of_memory
from ar_lightning.core.files import BEST, CHECKPOINT_KEY, LAST
from ar_lightning.core.medium import Table
from ar_lightning.core.spec import DataSpec
from ar_lightning.density.density import Density
from ar_lightning.training.locate import checkpoint_of
from ar_lightning.training.weights import SUFFIX, density_weights, read_weights

__all__ = ["finite_weights", "load", "read_checkpoint", "rebuild", "restoring", "written_at"]


def load(path: str | Path, device: str | torch.device = "cpu", length: int | None = None) -> Density:
    """Rebuild a trained density from a checkpoint, or from a run directory (its best checkpoint).

    The checkpoint alone is enough: it holds the whole config. No code in it is executed.

    Args:
        path: the checkpoint, the run directory, exported weights or their folder, `zoo:NAME`, or the name of a W&B
            artifact, `entity/project/name:alias`.
        device: where its weights are put.
        length: sites of a sequence, where the model reads sequences of any length; null for what it was trained on.

    Raises:
        UserError: no checkpoint there, one that cannot be read, or a length that its model cannot have.
    """
    file = checkpoint_of(path)
    return rebuild(read_checkpoint(file), file, device, length)


def rebuild(
    checkpoint: dict[str, Any], file: Path, device: str | torch.device = "cpu", length: int | None = None
) -> Density:
    """Do what `load` does with a checkpoint that was read from `file`."""
    saved = checkpoint[CHECKPOINT_KEY]
    spec = DataSpec.from_dict(saved["data"])
    if length is not None and length != spec.shape[-1]:
        spec = _resized(spec, length, saved["config"]["model"])
    with restoring(file):
        return _built(checkpoint, file, spec).to(device).eval()


@contextmanager
def restoring(file: Path) -> Iterator[None]:
    """Say in one line that a checkpoint, which is whole, holds something else than what a training writes."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:  # whatever its parts are, and whoever changed them
        if is_out_of_memory(error):
            raise
        fix = f"if it was changed, give back a copy of it{_other(file)}"
        raise UserError(f"{file}: cannot be restored ({first_line(error)}); {fix}") from error


def _built(checkpoint: dict[str, Any], file: Path, spec: DataSpec) -> Density:
    density = build_density(checkpoint[CHECKPOINT_KEY]["config"], spec)
    weights = finite_weights(checkpoint, file)
    density.to(next((w.dtype for w in weights.values() if w.is_floating_point()), torch.float32))
    try:
        density.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{file}: its weights do not fit its config: {str(error).splitlines()[1].strip()}") from None
    return density


def finite_weights(checkpoint: dict[str, Any], file: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint under their names in the density; a `UserError` if it diverged."""
    weights = density_weights(checkpoint)
    if (name := _diverged(weights)) is not None:
        raise UserError(f"{file}: not all weights of {name} are numbers: its training diverged{_other(file)}")
    return weights


def _resized(spec: DataSpec, length: int, model: dict[str, Any]) -> DataSpec:
    """Return the spec of sequences of another length."""
    if length < 1:
        raise UserError(f"a sequence has a length of 1 or more, not {length}")
    # What a model is to every site alike, it can be to any number of them; a learned position or order is not.
    any_length = find("model", model["name"]).any_length and model.get("order", "raster") == "raster"
    if len(spec.shape) != 2 or not any_length or model.get("position"):
        raise UserError(f"model.name={model['name']} was trained for {spec}, and has weights for every site of it")
    medium = spec.medium
    if isinstance(medium, Table):
        if not medium.is_plain:
            raise UserError(f"a row of this table has {len(medium.columns)} columns, not {length}")
        medium = Table.plain(length)
    return replace(spec, shape=(spec.shape[0], length), medium=medium)


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint of this project, or exported weights, into main memory, executing no code in it.

    Raises:
        UserError: it is damaged, of something else, or of a version that this one cannot read.
    """
    try:
        checkpoint = _undamaged(file)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise UserError(f"{file}: not a readable checkpoint ({first_line(error)}){_other(file)}") from None
    saved = checkpoint.get(CHECKPOINT_KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(saved, dict) or "config" not in saved:
        raise UserError(f"{file}: not a checkpoint of ar_lightning: it holds no config")
    try:
        DataSpec.from_dict(saved["data"])
        saved["written"] = saved["config"]  # without the keys that are newer than it
        saved["config"] = saved_config(saved["config"], "")
        len(checkpoint["state_dict"])
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        version = saved.get("version", "unknown")
        fix = "it was changed or damaged" if version == __version__ else f"load it with ar_lightning {version}"
        raise UserError(f"{file}: written by version {version}, this is {__version__}: {reason}; {fix}") from None
    return checkpoint


def written_at(checkpoint: dict[str, Any]) -> tuple[int, int]:
    """Return the epoch, counted from one, and the optimizer steps after which a checkpoint was written."""
    return int(checkpoint["epoch"]) + 1, int(checkpoint["global_step"])


def _undamaged(file: Path) -> Any:
    """Return the content of a file whose checksums are right: PyTorch writes them, and does not read them."""
    if file.suffix == SUFFIX:
        return read_weights(file)
    with zipfile.ZipFile(file) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong: the file is damaged")
    return torch.load(file, map_location="cpu", weights_only=True)


def _diverged(weights: dict[str, torch.Tensor]) -> str | None:
    """Return the name of weights that are not all numbers."""
    return next((name for name, weight in weights.items() if not weight.isfinite().all()), None)


def _other(file: Path) -> str:
    """Name the other checkpoint of the run, if that can be used instead."""
    for other in (file.with_name(name) for name in (BEST, LAST) if name != file.name):
        with suppress(Exception):  # damaged too, or not there
            if _diverged(_undamaged(other)["state_dict"]) is None:
                return f"; {other} is whole: give that"
    return ""
