"""Configs and sweep files that come with the package: `--config pixelrnn` instead of `--config conf/pixelrnn.yaml`."""

import re
from pathlib import Path
from typing import Literal

from ar_lightning.core.errors import UserError, did_you_mean

__all__ = ["KINDS", "bundled", "find", "folder_of", "summary_of"]

Kind = Literal["conf", "sweeps"]
KINDS: tuple[Kind, ...] = ("conf", "sweeps")
PACKAGE = Path(__file__).parents[1]
THINGS = {"conf": "config", "sweeps": "sweep"}


def folder_of(kind: Kind) -> Path:
    """Return the folder of the bundled files: in an installed package its own, in a checkout the one beside it."""
    inside = PACKAGE / "bundled" / kind
    folder = inside if inside.is_dir() else PACKAGE.parent / kind
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def bundled(kind: Kind) -> dict[str, Path]:
    """Return the bundled files by name, such as `nade` or `cifar10/pixelcnn`, those of the top folder first."""
    folder = folder_of(kind)
    files = [file for file in folder.rglob("*.yaml") if file.parent.name != "cluster"]  # jobs of a cluster
    names = {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    return dict(sorted(names.items(), key=lambda item: ("/" in item[0], item[0])))


def find(kind: Kind, given: str) -> Path:
    """Return the file that a path or the name of a bundled file means; a file of the user's goes first."""
    path = Path(given)
    if path.is_file():
        return path
    files = bundled(kind)
    if given in files:
        return files[given]
    name = re.sub(rf"^{kind}/|\.ya?ml$", "", given)
    if name in files and not path.exists():
        raise UserError(f"no {THINGS[kind]} file {given}; did you mean '--config {name}'?")
    if path.suffix or path.exists():
        return path
    raise UserError(f"no {THINGS[kind]} '{given}'{did_you_mean(given, files)}")


def summary_of(file: Path) -> str:
    """Return the first sentence of the comment that a file begins with."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines[: next(i for i, ln in enumerate(lines) if ln[:1] != "#")])
    return f"{comment} ".partition(". ")[0].rstrip()
