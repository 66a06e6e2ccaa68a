"""`run.py decompress`: the file that a trained density compressed, bit for bit."""

from ar_lightning.commands.parser import Parser, add_run

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Write a compressed file as it was."""
    parser = Parser("decompress")
    add_run(parser)
    parser.add_argument("file", metavar="FILE", help="the compressed file")
    parser.add_argument("--out", metavar="FILE", help="decompressed file (default: FILE-decoded, with its old ending)")
    given = parser.parse_args(args)

    from ar_lightning.inference.codec.file import decompress

    print(f"decompressed: {decompress(given.run, given.file, given.out)}")
    return 0
