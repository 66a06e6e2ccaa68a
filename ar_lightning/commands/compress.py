"""`compress`: compress a file without loss, by the probabilities of a trained density."""

from ar_lightning.commands.parser import add_engine, add_overrides, run_parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("compress")
    parser.add_argument(
        "file", metavar="FILE", help="an .npz file, a picture, a text; data:test, or data:test[:N] for its first N"
    )
    parser.add_argument("--out", metavar="FILE", help="compressed file (default: FILE.arl; of data:test, RUN/test.arl)")
    add_engine(parser, "eager", ", which rounds alike in other versions of this program and of the compiler")
    add_overrides(parser)
    parsed = parser.parse_intermixed_args(args)

    from ar_lightning.inference.codec.file import compress

    outcome = compress(parsed.run, parsed.file, parsed.out, parsed.overrides, parsed.engine)
    print(outcome)
    print(f"compressed: {outcome.path}")
    return 0
