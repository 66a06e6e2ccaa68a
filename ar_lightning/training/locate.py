"""Find the checkpoint that a run means, before anything heavy is imported."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ar_lightning.core.errors import UserError, nearby
from ar_lightning.core.files import BEST, LAST, WEIGHTS
from ar_lightning.tracking.wandb_artifacts import download, is_artifact
from ar_lightning.training.zoo import is_zoo, zoo_file

__all__ = ["checkpoint_of", "start_of"]


def checkpoint_of(run: str | Path) -> Path:
    """Return the file that a run means: itself, the best checkpoint (else the last) of a run directory, or its weights.

    `zoo:NAME`, and what is no path but the name of a W&B artifact, `entity/project/name:alias`, is downloaded if need
    be.
    """
    if is_zoo(run):
        return zoo_file(run)
    path = Path(run).expanduser()
    if is_artifact(run) and not path.exists():
        return download(str(run))
    if path.is_file():
        return path
    folder = path / "checkpoints"
    for name in (BEST, LAST):
        if (folder / name).is_file():
            return folder / name
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    if folder.is_dir():
        raise UserError(f"{path}: no checkpoint there yet")
    raise UserError("no such run or checkpoint", path, "" if path.exists() else nearby(path))


def start_of(config: Mapping[str, Any]) -> Path | None:
    """Return the file of the weights that a new training starts from, as `init_from` says; None without it."""
    if config["init_from"] is None:
        return None
    try:
        return checkpoint_of(config["init_from"])
    except UserError as error:
        raise error.under("init_from") from None
