"""Checkpoints that trainings logged to W&B, by the name of the artifact instead of a run directory."""

import re
import sys
import tempfile
from pathlib import Path

from ar_lightning.core.errors import UserError
from ar_lightning.tracking.wandb_api import wandb_api

__all__ = ["BEST", "download", "is_artifact"]

BEST = "best.ckpt"  # the file of the artifact
PREFIX = "wandb:"
NAME = re.compile(r"(?P<entity>[^/:\s]+)/(?P<project>[^/:]+)/(?P<name>[\w.-]+):(?P<alias>[^/:\s]+)")
VERSION = re.compile(r"v\d+")  # what never changes; other aliases move on


def is_artifact(run: str | Path) -> bool:
    """Whether this is the name of a W&B artifact: `entity/project/name:alias`, or anything that begins with `wandb:`.

    Example:
        >>> is_artifact("team/ar_lightning/model-1a2b:best"), is_artifact("wandb:oops"), is_artifact("runs/nade/one")
        (True, True, False)
    """
    return str(run).startswith(PREFIX) or NAME.fullmatch(str(run)) is not None


def download(name: str, folder: Path = Path("runs", "wandb")) -> Path:
    """Return the checkpoint of an artifact, in a run directory `FOLDER/ENTITY/PROJECT/NAME-VERSION` of its own.

    What is there already is not downloaded again; a version, such as `:v3`, is then not even asked for.

    Args:
        name: `entity/project/name:alias`, with or without `wandb:` before it; the alias is `best`, `latest` or `v0`.
        folder: where the run directories are.

    Raises:
        UserError: it is no such name, W&B cannot be asked, or it knows no such checkpoint.
    """
    parts = NAME.fullmatch(name.removeprefix(PREFIX))
    if parts is None:
        raise UserError(
            f"{name}: a W&B artifact is named entity/project/name:alias, such as team/ar_lightning/model-1:best"
        )

    def place(version: str) -> Path:
        run = f"{parts['name']}-{version}"
        return folder / parts["entity"] / parts["project"] / run / "checkpoints" / BEST

    if VERSION.fullmatch(parts["alias"]) and place(parts["alias"]).is_file():
        return place(parts["alias"])
    with wandb_api(name) as api:
        artifact = api.artifact(parts[0], type="model")
        file = place(artifact.version)
        if file.is_file():
            return file
        if BEST not in artifact.manifest.entries:
            raise UserError(f"{name}: holds no {BEST}, so no run of ar_lightning logged it")
        entry = artifact.manifest.entries[BEST]
        print(f"{name}: downloading {(entry.size or 0) / 1e6:.1f} MB to {file}", file=sys.stderr, flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".download-") as unfinished:
            artifact.download(unfinished, skip_cache=True)
            artifact.verify(unfinished)
            (Path(unfinished) / BEST).replace(file)
        return file
