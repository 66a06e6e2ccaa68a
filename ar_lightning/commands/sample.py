"""`sample`: draw from a trained density, or continue a prompt."""

from typing import Annotated

from ar_lightning.commands.parser import add_drawing, add_overrides, number, run_parser
from ar_lightning.core.fields import Range

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("sample")
    add_drawing(parser, 16, "samples", "all in turn")
    parser.add_argument(
        "--given",
        metavar="FILE",
        help="what samples are given: an .npz file of vectors (context), or a table with the given columns",
    )
    parser.add_argument("--prompt", help="what they begin with: text, or a text, sound or image file")
    parser.add_argument("--keep", type=float, help="fraction of the prompt to take")
    parser.add_argument(
        "--length",
        type=number(Annotated[int, Range(1, 10_000_000)]),
        help="sites of a sequence, where the model has any length",
    )
    parser.add_argument("--device", default="auto", help="cpu, or cuda:0,cuda:1 to share them (default: all GPUs)")
    add_overrides(parser)
    parsed = parser.parse_intermixed_args(args)

    from ar_lightning.inference.sample import sample as draw

    files = draw(**vars(parsed))
    for kind, path in files.items():
        if path.suffix == ".txt":
            print(path.read_bytes().decode("utf-8"))  # with its ends of lines as they are
        print(f"{kind}: {path}")
    return 0
