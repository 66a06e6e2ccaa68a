"""`run.py list`: the names there are."""

from ar_lightning.commands.parser import Parser

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Print the registries."""
    Parser("list").parse_args(args)
    from ar_lightning.commands.help import registry_tables

    print(registry_tables())
    return 0
