"""`decompress`: restore a compressed file, bit for bit."""

from typing import get_args

from ar_lightning.commands.parser import run_parser
from ar_lightning.core.fields import Engine

__all__ = ["run"]


def run(args: list[str]) -> int:
    parser = run_parser("decompress")
    parser.add_argument("file", metavar="FILE", help="the compressed file")
    parser.add_argument("--out", metavar="FILE", help="decompressed file (default: FILE-decoded, with its old ending)")
    parser.add_argument(
        "--engine", choices=get_args(Engine), default="auto", help="auto: the one that compressed it (default)"
    )
    parsed = parser.parse_args(args)

    from ar_lightning.inference.codec.file import decompress

    print(f"decompressed: {decompress(parsed.run, parsed.file, parsed.out, parsed.engine)}")
    return 0
