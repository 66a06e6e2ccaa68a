"""`compare`: compare runs, in a table and on a page of curves and samples."""

from ar_lightning.commands.parser import Parser, known_run, print_files
from ar_lightning.tracking.console import console

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = Parser("compare")
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=known_run,
        help="run directory, zoo:NAME, or the directory of a sweep for all its trials",
    )  # fmt: skip
    parser.add_argument("--by", choices=("data",), help="data: a table for each dataset (default: one table)")
    parser.add_argument("--out", metavar="DIR", default="comparison", help="folder of the files (default comparison)")
    parsed = parser.parse_args(args)

    from ar_lightning.inference.compare.compare import compare
    from ar_lightning.inference.compare.table import as_rich, title_of

    tables, files = compare(**vars(parsed))
    screen = console()
    for rows in tables:
        screen.print(as_rich(rows, screen.width, title_of(rows) if parsed.by else ""))
    print_files(files)
    return 0
