"""`export`: write the weights of a run without the state of its training, as .safetensors, with config and result."""

from ar_lightning.commands.parser import print_files, run_parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("export")
    parser.add_argument("--out", metavar="DIR", required=True, help="a new or an empty folder, which then is a RUN")
    parsed = parser.parse_args(args)

    from ar_lightning.inference.export import export

    print_files(export(**vars(parsed)))
    return 0
