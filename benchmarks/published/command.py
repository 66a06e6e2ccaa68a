"""The command `reproduce`: train a published row, test it and compare; or list all rows."""

import sys
from typing import TYPE_CHECKING

from ar_lightning.commands.parser import Parser
from ar_lightning.core.errors import INTERRUPTED, UserError

if TYPE_CHECKING:
    from benchmarks.published.reproduce import Reproduced
    from benchmarks.published.smoke import Smoke

__all__ = ["run"]


def run(args: list[str]) -> int:
    """Reproduce a row and print the comparison; without a name, print all rows."""
    parser = Parser("reproduce")
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="stem of a config in conf/published (default: list all)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that differ from the config's")
    parser.add_argument("--list", action="store_true", help="print the rows, their published values and ours")
    parser.add_argument(
        "--smoke", action="store_true", help="train the row for a minute and compare its losses with the kept curve: "
        "says whether this machine is on track, and how long the whole takes on it",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", metavar="N", type=int, help="train the row by N seeds, its own and those after it: mean and spread"
    )
    parser.add_argument("--page", action="store_true", help="write RESULTS.md again from the results that are kept")
    parser.add_argument(
        "--zoo", metavar="RUN", nargs="?", const="", help="put the weights of the row in zoo/NAME, and "
        "list them: of its run, which is done (default: where NAME is trained), or of a checkpoint",
    )  # fmt: skip
    parsed = parser.parse_intermixed_args(args)
    if parsed.name and (parsed.list or parsed.page):
        raise UserError("command line: --list and --page are of all rows; leave out the name")
    if parsed.name and "=" in parsed.name:
        raise UserError(f"command line: give the NAME of a row before {parsed.name}; --list prints them")

    from benchmarks.published.reproduce import reproduce, run_dir_of, write_page

    if parsed.zoo is not None:
        if parsed.name is None or parsed.overrides:
            raise UserError("command line: --zoo takes the NAME of a row, before it, and no settings")
        from benchmarks.published.zoo import put_in_zoo

        print("written:", put_in_zoo(parsed.name, parsed.zoo or run_dir_of(parsed.name)))
        print("written:", write_page())
        print(f"test it with: python run.py test zoo:{parsed.name}")
        return 0
    if parsed.page:
        print("written:", write_page())
        return 0
    if parsed.name is None:
        for option in ("smoke", "seeds"):
            if getattr(parsed, option):
                raise UserError(f"command line: --{option} takes the NAME of a row, before it; --list prints them")
        _print_rows()
        return 0
    if parsed.smoke:
        from benchmarks.published.smoke import smoke

        return _print_smoke(parsed.name, smoke(parsed.name, parsed.overrides))
    several = [] if parsed.seeds is None else ["--seeds", str(parsed.seeds)]
    try:
        if several:
            from benchmarks.published.seeds import reproduce_seeds

            found = reproduce_seeds(parsed.name, parsed.seeds, parsed.overrides)
        else:
            found = reproduce(parsed.name, parsed.overrides)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns one into the other
        again = " ".join(["python run.py reproduce", parsed.name, *several, *parsed.overrides])
        print(f"\ninterrupted; continue with: {again}", file=sys.stderr)
        return INTERRUPTED
    if found is not None:
        _print_found(found)
    return 0


def _print_rows() -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from benchmarks.published.reproduce import run_dir_of
    from benchmarks.published.rows import read_reproductions

    name = Column("name", no_wrap=True)  # one that is cut short cannot be copied
    table = Table(name, "published", "ours", Column("state", min_width=16), box=None)
    for row in read_reproductions():
        begun = row.result is None and run_dir_of(row.name).exists()
        value = f"{row.published.value:.2f} {row.published.unit}" if row.published else ""
        state = f"begun: {run_dir_of(row.name)}" if begun else "reached" if row.reached else row.verdict
        table.add_row(row.name, value, row.ours, state)
    Console().print(table)


def _print_found(found: "Reproduced") -> None:
    row = found.row
    print(f"run: {found.run_dir}")
    print(f"{row.name}: {row.ours}; published: {row.published or 'nothing'}")
    if row.spread:
        print(row.spread)
    print(row.verdict)
    if found.changed:
        print(f"another experiment by {', '.join(found.changed)}: nothing is kept, and RESULTS.md stays as it was")
    else:
        print(f"kept in {row.folder}; RESULTS.md is written anew")


def _print_smoke(name: str, found: "Smoke") -> int:
    """Say whether a training is on track; return 0 if it is, else 1."""
    print(
        f"{name}: {found.steps} steps in {found.seconds:.0f} s; the whole takes about {_minutes(found.whole)} here, "
        f"it took {_minutes(found.kept)} on {found.machine}"
    )
    print(
        f"training loss of steps {found.first} to {found.last}: {found.loss:.2f} nats, kept: {found.kept_loss:.2f}; "
        f"they may differ by {found.allowed:.2f}"
    )
    print("on track" if found.on_track else "not on track: other data, other versions, or a fault")
    return 0 if found.on_track else 1


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
