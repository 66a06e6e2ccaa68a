"""`score`: write the log-likelihood of each example of a dataset or file."""

from ar_lightning.commands.parser import run_parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("score", overrides=True)
    parser.add_argument(
        "--data", metavar="FILE|NAME", help="an .npz, CSV, image, sound or text file, a folder of images or sound, "
        "or the name of a dataset (default: the run's own data)",
    )  # fmt: skip
    parser.add_argument("--split", default="test", help="of the dataset: test or valid (default test)")
    parser.add_argument(
        "--by", choices=("column",), help="column: of a mixed table, also -log p of each cell, and the oddest rows"
    )
    parser.add_argument("--out", metavar="FILE", default="scores.csv", help="the CSV (default scores.csv)")
    parsed = parser.parse_intermixed_args(args)

    from ar_lightning.inference.score import score

    found = score(**vars(parsed))
    bits = "" if found["bpd"] is None else f", {found['bpd']:.4f} bits/dim"
    print(f"scored {found['examples']:,} examples: {-found['nll']:.4f} nats{bits} on average\nscores: {parsed.out}")
    if found.get("oddest"):
        print(f"oddest rows: {found['oddest']}")
    return 0
