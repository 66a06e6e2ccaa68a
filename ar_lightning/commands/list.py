"""`list`: the names that a config may choose, and the configs and sweeps that come with the package."""

from ar_lightning.commands.parser import Parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    Parser("list").parse_args(args)
    from ar_lightning.commands.help import name_tables

    print(name_tables())
    return 0
