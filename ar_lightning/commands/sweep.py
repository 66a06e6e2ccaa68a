"""`sweep`: search hyper-parameters."""

from ar_lightning.commands.parser import Parser, add_config
from ar_lightning.core.errors import UserError

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

    read = read_sweep(parsed.config, parsed.overrides)

    from ar_lightning.sweep.launch import launch

    return launch(read)
