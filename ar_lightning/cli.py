"""The command line: `ar-lightning [COMMAND] [--config FILE] [key=value ...]`, or `python run.py` in a checkout.

Everything is parsed and validated before PyTorch is imported, so that a mistake is answered at once, in one line.
"""

import importlib
import sys
from collections.abc import Sequence

from ar_lightning.commands import COMMANDS
from ar_lightning.core.errors import BAD_INPUT, UserError, did_you_mean
from ar_lightning.core.output import answered, protected

__all__ = ["main"]

BROKEN_PIPE = 141  # exit code of a program that this ended
TRAINS = ("fit", "sweep", "reproduce")  # commands whose files count, and not what they print


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    command = args.pop(0) if args and not args[0].startswith("-") and "=" not in args[0] else "fit"
    with protected() as lost:
        code = answered(lambda: _run(command, args))
        reason = lost()
        if reason is None or code or (command in TRAINS and not {"--help", "-h"} & set(args)):
            return code
        if isinstance(reason, BrokenPipeError):  # whoever read the output, such as `head`, has seen enough
            return BROKEN_PIPE
        print(f"error: standard output: {reason.strerror}", file=sys.stderr)
        return BAD_INPUT


def _run(command: str, args: list[str]) -> int:
    if command not in COMMANDS:
        is_config = command.endswith((".yaml", ".yml"))
        hint = f"; did you mean '--config {command}'?" if is_config else did_you_mean(command, COMMANDS)
        raise UserError(f"no command '{command}'{hint}")
    code: int = importlib.import_module(f"ar_lightning.commands.{command.replace('-', '_')}").run(args)
    return code
