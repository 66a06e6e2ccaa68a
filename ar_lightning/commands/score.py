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
    parser.add_argument("--out", metavar="FILE", default="scores.csv", help="the CSV (default scores.csv)")
    parsed = parser.parse_intermixed_args(args)

    from ar_lightning.inference.score import score

    found = score(**vars(parsed))
    mean = f"{-found['nll']:.4f} nats, {found['bpd']:.4f} bits/dim on average"
    print(f"scored {found['examples']:,} examples: {mean}\nscores: {parsed.out}")
    return 0
