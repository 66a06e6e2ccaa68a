"""`init`: copy the configs and sweep files that come with the package, to change them."""

import shutil
from pathlib import Path

from ar_lightning.commands.parser import Parser
from ar_lightning.config.bundled import KINDS, folder_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.program import program

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = Parser("init")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a new or an empty directory")
    folder = parser.parse_args(args).folder.expanduser()
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"init: {folder} is not empty; name a new directory")
        for kind in KINDS:
            shutil.copytree(folder_of(kind), folder / kind)
    except (OSError, shutil.Error) as error:
        raise UserError(f"init: {folder} cannot be written ({getattr(error, 'strerror', None) or error})") from None
    print(f"written: {folder / 'conf'}, {folder / 'sweeps'}")
    print(f"train the first model with: {program()} --config {folder / 'conf' / 'pixelrnn.yaml'}")
    return 0
