"""Arguments of a command, with one-line errors, and the tables and files that it answers with."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from ar_lightning.commands import COMMANDS
from ar_lightning.config.values import conform, type_name
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.fields import Count, Engine, Temperature
from ar_lightning.core.program import program
from ar_lightning.tracking.console import console
from ar_lightning.training.zoo import checked_name, is_zoo

__all__ = [
    "BOUND", "RUN", "Parser", "add_config", "add_drawing", "add_engine", "add_overrides", "known_run", "number",
    "print_columns", "print_facts", "print_files", "print_members", "run_parser",
]  # fmt: skip

BOUND = "the text has other encodings, which are not scored"  # by tokens
RUN = "run directory, checkpoint, exported weights, zoo:NAME, or W&B's entity/project/model-ID:best"


class Parser(argparse.ArgumentParser):
    """argparse for the command of a name, with this project's one-line errors."""

    def __init__(self, command: str, **settings: Any) -> None:
        description = f"{COMMANDS[command].capitalize()}."
        super().__init__(prog=f"{program()} {command}", description=description, allow_abbrev=False, **settings)

    def error(self, message: str) -> Any:
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(unknown[1].partition("=")[0], options)
            message = f"no option '{unknown[1]}'{hint}" if unknown[1].startswith("-") else f"unexpected '{unknown[1]}'"
        if wrong := re.match(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            choices = wrong[3].replace("'", "").split(", ")
            message = f"{wrong[1]}: no '{wrong[2]}'{did_you_mean(wrong[2], choices)}"
        raise UserError(f"command line: {message.removeprefix('argument ')}")


def add_config(parser: Parser) -> None:
    """Add `--config FILE`, `key=value` and `--help`, whose text takes longer than argparse's: it lists every key."""
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("overrides", nargs="*")


def run_parser(command: str, overrides: bool = False) -> Parser:
    """Return the parser of a command on a RUN, with `overrides` also of the config keys that may differ from its."""
    parser = Parser(command)
    parser.add_argument("run", metavar="RUN", type=known_run, help=RUN)
    if overrides:
        add_overrides(parser, "data.*, trainer.accelerator or .devices")
    return parser


def known_run(run: str) -> str:
    """Return a RUN; a misspelt `zoo:NAME` is a `UserError` at once."""
    if is_zoo(run):
        checked_name(run)
    return run


def add_overrides(parser: Parser, keys: str = "data.*, such as data.path where the run's data was moved") -> None:
    """Add `key=value` of the config keys that may differ from the run's, after the other positional arguments."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=keys)


def add_drawing(parser: Parser, n: int, things: str, default_class: str) -> None:
    """Add the options of a command that draws `things`, `n` of them by default."""
    parser.add_argument("--n", type=number(Count), default=n, help=f"number of {things} (default {n})")
    parser.add_argument(
        "--cond", dest="label", metavar="CLASS", help=f"class, as the data calls it (default: {default_class})"
    )
    parser.add_argument("--temperature", type=number(Temperature), default=1.0, help="below 1 is safer, above 1 wilder")
    parser.add_argument(
        "--seed", type=number(int), default=0, help=f"same seed, same {things}, in any number (default 0)"
    )
    add_engine(parser)
    parser.add_argument("--out", metavar="FILE", help="path of the files (default: in RUN/samples)")


def add_engine(parser: Parser, default: Engine = "auto", why: str = "") -> None:
    """Add `--engine` of a command that goes from value to value."""
    parser.add_argument(
        "--engine", choices=get_args(Engine), default=default,
        help="compiled: machine code, made once in about a minute; auto: where that saves time "
        f"(default: {default}{why})",
    )  # fmt: skip


def number(annotation: Any) -> Callable[[str], Any]:
    """Return a function that parses a number, as the config keys of this annotation are checked, for argparse."""

    def parse(text: str) -> Any:
        try:
            given: int | float = int(text)
        except ValueError:
            given = float(text)
        return conform(annotation, given)

    parse.__name__ = type_name(annotation)  # what argparse calls it
    return parse


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """Print a table of two columns."""
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")  # a path that is cut short cannot be copied
    for name, fact in facts.items():
        table.add_row(name, str(fact))
    console().print(table)


def print_members(nll: Mapping[int, float], each: str) -> None:
    """Print what mixtures of the first of several members come to, in nats `each`; nothing where there are none."""
    from rich.table import Table

    table = Table("average of the first", f"nats {each}")
    for n, nats in nll.items():
        table.add_row(f"{n} of {max(nll)}", f"{nats:.4f}")
    if nll:
        console().print(table)


def print_columns(columns: Sequence[Mapping[str, Any]], rows: int, members: int) -> None:
    """Print the share of each column in the score of a row of a mixed table."""
    from rich.table import Table

    order = f", in the order of the first of {members}" if members > 1 else ""
    table = Table("column", "", title=f"nats a row, by column{order}", title_justify="left")
    for title in ("nats a row", "bits a row", "missing"):
        table.add_column(title, justify="right")
    for share in columns:
        bits = "" if share["bits"] is None else f"{share['bits']:.4f}"
        missing = rows - share["cells"]
        gaps = f"{missing / rows:.1%}" if missing else ""
        table.add_row(share["name"], share["kind"], f"{share['nll']:.4f}", bits, gaps)
    console().print(table)


def print_files(files: Mapping[str, object]) -> None:
    """Print where files are, by their kind."""
    for kind, path in files.items():
        print(f"{kind}: {path}")
