"""`run.py sweep`: search hyper-parameters."""

from ar_lightning.commands.parser import Parser
from ar_lightning.errors import UserError

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Check a sweep file, then run it."""
    parser = Parser(prog="run.py sweep", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("overrides", nargs="*")
    parsed = parser.parse_intermixed_args(args)
    if parsed.help:
        from ar_lightning.help import sweep_help

        print(sweep_help())
        return 0
    if parsed.config is None:
        raise UserError("nothing to search: give a sweep file, such as --config sweeps/pixelrnn.yaml (--help explains)")

    from ar_lightning.sweep.sweep_file import read_sweep

    read = read_sweep(parsed.config, parsed.overrides)

    from ar_lightning.sweep.launch import launch

    return launch(read)
