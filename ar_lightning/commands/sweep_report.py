"""`sweep-report`: write the report of a sweep again, also while it runs."""

from pathlib import Path

from ar_lightning.commands.parser import Parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = Parser("sweep-report")
    parser.add_argument("folder", metavar="DIR", type=Path, help="directory of the sweep, such as runs/sweeps/pixelrnn")
    folder = parser.parse_args(args).folder

    from ar_lightning.sweep.definition import saved_sweep

    saved = saved_sweep(folder)

    from ar_lightning.sweep.launch import report

    report(saved, folder)
    return 0
