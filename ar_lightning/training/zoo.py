"""The zoo: trained densities by name, `zoo:NAME`, which any command takes for a run.

The package has the list of them, with their numbers and the digests of their files. The files are in the folder `zoo`
of a checkout; elsewhere they are downloaded once. This module imports no PyTorch.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.files import WEIGHTS
from ar_lightning.data.download import ENVIRONMENT, data_root, obtain

__all__ = [
    "MANIFEST",
    "PREFIX",
    "checked_name",
    "home_of",
    "is_zoo",
    "manifest",
    "on_this_machine",
    "zoo_file",
    "zoo_folder",
]

MANIFEST = Path(__file__).with_name("zoo.json")
CHECKOUT = Path(__file__).parents[2] / "zoo"
PREFIX = "zoo:"


@cache
def manifest() -> dict[str, Any]:
    """Return the list: `models` by name, and the `url` of the folder that theirs are in, null before it is public."""
    content: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return content


def is_zoo(run: str | Path) -> bool:
    """Return whether this names a density of the zoo.

    Example:
        >>> is_zoo("zoo:gated_pixelcnn_binarized_mnist"), is_zoo("zoo/gated_pixelcnn_binarized_mnist")
        (True, False)
    """
    return str(run).startswith(PREFIX)


def checked_name(run: str | Path) -> str:
    """Return the NAME of `zoo:NAME`; a `UserError` names the nearest one where there is none of that name."""
    name = str(run).removeprefix(PREFIX)
    if name not in manifest()["models"]:
        known = [f"{PREFIX}{other}" for other in manifest()["models"]]
        raise UserError(f"no '{name}' in the zoo", str(run), did_you_mean(run, known))
    return name


def home_of(run: str | Path) -> Path:
    """Return the folder, in the working directory, of what commands on a density of the zoo write."""
    return Path("runs", "zoo", checked_name(run))


def on_this_machine(name: str) -> bool:
    """Return whether the weights of a density are here: in the checkout, or downloaded."""
    return any((folder / name / WEIGHTS).is_file() for folder in (CHECKOUT, _downloads()))


def zoo_file(run: str | Path, file: str = WEIGHTS) -> Path:
    """Return a file of a density of the zoo: that of the checkout, or one that is verified and, at first, downloaded.

    Raises:
        UserError: there is none of that name, or the file cannot be had; the line says where to put it.
    """
    name = checked_name(run)
    if (own := CHECKOUT / name / file).is_file():
        return own
    folder, url = _downloads() / name, manifest()["url"]
    elsewhere = f"{ENVIRONMENT} names another folder"
    if url is None and not (folder / file).is_file():
        put = f"put zoo/{name}/{file} of a checkout of the project into {folder} ({elsewhere})"
        raise UserError("is not on this machine, and has no public address yet", run, put)
    known = {file: manifest()["models"][name]["files"][file]["sha256"]}
    return obtain(known, f"{url}{name}/", folder, elsewhere=elsewhere)[file]


def zoo_folder(run: str | Path) -> Path:
    """Return the folder of all files of a density: weights, config, result and samples."""
    (folder,) = {zoo_file(run, file).parent for file in manifest()["models"][checked_name(run)]["files"]}
    return folder


def _downloads() -> Path:
    return data_root(None) / "zoo"
