"""Checkpoints from W&B by the name of their artifact, and the client for its public API.

Unlike in a training, a failure ends the command, with one line.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ar_lightning.core.errors import UserError, first_line
from ar_lightning.tracking.wandb_mode import has_key
from ar_lightning.tracking.wandb_run import ENVIRONMENT

__all__ = ["BEST", "download", "is_artifact", "wandb_api"]

PATIENCE = 20  # seconds for an answer
BEST = "best.ckpt"  # the file of the artifact
PREFIX = "wandb:"
NAME = re.compile(r"(?P<entity>[^/:\s]+)/(?P<project>[^/:]+)/(?P<name>[\w.-]+):(?P<alias>[^/:\s]+)")
VERSION = re.compile(r"v\d+")  # what never changes; other aliases move on


def is_artifact(run: str | Path) -> bool:
    """Return whether this names a W&B artifact: `entity/project/name:alias`, or anything after `wandb:`.

    Example:
        >>> is_artifact("team/ar_lightning/model-1a2b:best"), is_artifact("wandb:oops"), is_artifact("runs/nade/one")
        (True, True, False)
    """
    return str(run).startswith(PREFIX) or NAME.fullmatch(str(run)) is not None


def download(name: str, folder: Path = Path("runs", "wandb")) -> Path:
    """Download the checkpoint of an artifact to a run directory `FOLDER/ENTITY/PROJECT/NAME-VERSION`.

    A file that exists is kept; a version, such as `:v3`, then needs no network. The name is
    `entity/project/name:alias`, with or without `wandb:` before it; the alias is `best`, `latest` or `v0`.
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


@contextmanager
def wandb_api(purpose: str) -> Iterator[Any]:
    """Yield a client of W&B's public API, signed in; `purpose` begins the error message."""
    if not has_key():  # W&B would ask for it
        raise UserError(f"{purpose}: W&B has no API key; set WANDB_API_KEY or run `wandb login`")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        yield wandb.Api(timeout=PATIENCE)
    except (wandb.errors.Error, WandbApiFailedError, OSError, ValueError) as error:
        raise UserError(f"{purpose}: {first_line(error, 160)}") from None
