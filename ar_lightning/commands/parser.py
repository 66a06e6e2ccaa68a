"""Arguments of a command, with one-line errors."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from ar_lightning.errors import UserError, did_you_mean

__all__ = ["Parser", "positive"]


class Parser(argparse.ArgumentParser):
    """argparse, with this project's one-line errors."""

    def error(self, message: str) -> Any:
        if unknown := re.match(r"unrecognized arguments: (\S+)", message):
            options = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(unknown[1].partition("=")[0], options)
            message = f"no option '{unknown[1]}'{hint}" if unknown[1].startswith("-") else f"unexpected '{unknown[1]}'"
        raise UserError(f"command line: {message.removeprefix('argument ')}")


def positive(kind: type) -> Callable[[str], Any]:
    """Return a parser of numbers above zero, for argparse."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"  # what argparse calls it
    return parse
