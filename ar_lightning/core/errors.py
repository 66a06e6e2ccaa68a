"""The one exception for bad input, its exit code, and the hint that goes with a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["BAD_INPUT", "INTERRUPTED", "UserError", "did_you_mean", "nearest"]

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; the second is that of a program that Ctrl-C ended


class UserError(Exception):
    """Something the user gave (config, data, checkpoint, environment) cannot be used.

    The message is one line: where, what is wrong, what to do. The command line prints it and exits with code 2.
    """


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the nearest known name, nothing where none is near.

    Example:
        >>> nearest("NAED", ["nade", "markov"])
        "; did you mean 'nade'?"
        >>> nearest("zzz", ["nade", "markov"])
        ''
    """
    known = list(known)
    match = get_close_matches(str(name), known, n=1) or get_close_matches(str(name).lower(), known, n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` for the nearest known name, else the list of names.

    Example:
        >>> did_you_mean("naed", ["nade", "markov"])
        "; did you mean 'nade'?"
        >>> did_you_mean("zzz", ["nade", "markov"])
        '; choose from markov, nade'
    """
    known = sorted(known)
    return nearest(name, known) or f"; choose from {', '.join(known)}"
