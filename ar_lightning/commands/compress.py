"""`run.py compress`: a file without loss, in as many bits as a trained density says."""

from ar_lightning.commands.parser import Parser, add_run

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Compress a file and say how many bytes it took."""
    parser = Parser("compress")
    add_run(parser)
    parser.add_argument(
        "file", metavar="FILE", help="an .npz file, a picture, a text; data:test or data:test[:N] for test examples"
    )
    parser.add_argument("--out", metavar="FILE", help="compressed file (default: FILE.arl; of data:test, RUN/test.arl)")
    given = parser.parse_args(args)

    from ar_lightning.inference.codec.file import compress

    outcome = compress(given.run, given.file, given.out)
    print(outcome)
    print(f"compressed: {outcome.path}")
    return 0
