"""`complete`: draw several completions of a partly known example, or fill the missing cells of a table."""

from ar_lightning.commands.parser import add_drawing, print_files, run_parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("complete", overrides=True)
    parser.add_argument(
        "--input", dest="source", metavar="FILE", required=True,
        help="an image, .npz, sound, text or CSV file, or data:test[3] for the run's own; of a mixed table "
        "all missing cells",
    )  # fmt: skip
    parser.add_argument(
        "--mask", metavar="KNOWN",
        help="top-half, bottom-half, left, right, first-half (in the density's order; default), random:0.5, mask.npy",
    )  # fmt: skip
    add_drawing(parser, 8, "completions", "that of the example")
    parsed = parser.parse_intermixed_args(args)

    from ar_lightning.inference.complete import complete

    print_files(complete(**vars(parsed)))
    return 0
