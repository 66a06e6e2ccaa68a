"""The command line: `ar-lightning [COMMAND] [--config FILE] [key=value ...]`, or `python run.py` in a checkout.

Everything is parsed and validated before PyTorch is imported, so that a mistake is answered at once, in one line.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from ar_lightning.commands import COMMANDS
from ar_lightning.core.errors import BAD_INPUT, INTERRUPTED, UserError, did_you_mean

__all__ = ["main"]

BROKEN_PIPE = 141  # exit code of a program that this ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        command = args.pop(0) if args and not args[0].startswith("-") and "=" not in args[0] else "fit"
        if command not in COMMANDS:
            is_config = command.endswith((".yaml", ".yml"))
            hint = f"; did you mean '--config {command}'?" if is_config else did_you_mean(command, COMMANDS)
            raise UserError(f"no command '{command}'{hint}")
        code: int = importlib.import_module(f"ar_lightning.commands.{command.replace('-', '_')}").run(args)
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code
    except UserError as error:
        print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it exits
        return BROKEN_PIPE
