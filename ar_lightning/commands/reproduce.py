"""`reproduce`: train a published row, test it and compare; or list all rows. It works in a checkout of the project."""

import sys
from importlib import import_module
from pathlib import Path

from ar_lightning.core.errors import UserError

__all__ = ["run"]

CHECKOUT = Path(__file__).parents[2]


def run(args: list[str]) -> int:
    if not (CHECKOUT / "benchmarks" / "published").is_dir():
        raise UserError("reproduce: needs a checkout of the project, with its conf/published and benchmarks")
    if str(CHECKOUT) not in sys.path:  # as for the console script of an editable installation
        sys.path.append(str(CHECKOUT))
    code: int = import_module("benchmarks.published.command").run(args)
    return code
