"""`run.py complete`: several completions of a partly known example, beside it."""

from ar_lightning.commands.parser import Parser, positive

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Complete an example and say which files hold the completions."""
    parser = Parser("complete")
    parser.add_argument("run", metavar="RUN", help="run directory or checkpoint")
    parser.add_argument(
        "--input", dest="source", metavar="FILE", required=True,
        help="an image, .npz, sound, text or CSV file, or data:test:3 for the run's own",
    )  # fmt: skip
    parser.add_argument(
        "--mask", metavar="KNOWN", default="first-half",
        help="top-half, bottom-half, left, right, first-half (in the density's order; default), random:0.5, mask.npy",
    )  # fmt: skip
    parser.add_argument("--n", type=positive(int), default=8, help="number of completions (default 8)")
    parser.add_argument("--cond", type=int, dest="label", metavar="CLASS", help="class (default: that of the example)")
    parser.add_argument("--temperature", type=positive(float), default=1.0, help="below 1 is safer, above 1 wilder")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same completions (default 0)")
    parser.add_argument("--out", metavar="STEM", help="path of the files without ending (default: in RUN/samples)")
    given = parser.parse_args(args)

    from ar_lightning.trained.complete import complete

    for kind, path in complete(**vars(given)).items():
        print(f"{kind}: {path}")
    return 0
