"""`sweep`: search hyper-parameters."""

import os
import sys

from ar_lightning.commands.parser import Parser, add_config
from ar_lightning.core.errors import UserError, of_the_system
from ar_lightning.core.files import naming

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = Parser("sweep", add_help=False)
    add_config(parser)
    parsed = parser.parse_intermixed_args(args)
    if parsed.help:
        from ar_lightning.commands.help import sweep_help

        print(sweep_help())
        return 0
    if parsed.config is None:
        give = "give a sweep file, such as --config pixelrnn (list names them, --help explains)"
        raise UserError(f"nothing to search: {give}")

    from ar_lightning.sweep.file import read_sweep

    _hide_password(parsed.overrides)
    read = read_sweep(parsed.config, parsed.overrides)

    from ar_lightning.sweep.launch import launch

    try:
        with naming(read.folder):
            return launch(read)
    except OSError as error:
        raise of_the_system(error, "then the same command goes on with it") from None


def _hide_password(overrides: list[str]) -> None:
    """Start again without a password on the command line, which W&B records and the list of processes shows."""
    from ar_lightning.config.overlay import parse_overrides
    from ar_lightning.sweep.storage import check_storage, without_password

    for override in overrides:
        if override.startswith("storage=") and override in sys.orig_argv:
            storage = str(parse_overrides([override])[1]["storage"])
            bare, password = without_password(storage)
            if password:
                check_storage(storage)
                command = [f"storage={bare}" if arg == override else arg for arg in sys.orig_argv]
                os.execve(sys.executable, command, os.environ | {"PGPASSWORD": password})
