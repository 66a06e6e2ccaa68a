"""What the program prints: it fits any terminal or file, and never stops what prints it."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ar_lightning.core.errors import BAD_INPUT, INTERRUPTED, UserError, first_line, is_out_of_memory, of_the_system

__all__ = ["Output", "answered", "markdown", "printable", "protected", "verbatim"]

CONTROL = {c: "\N{REPLACEMENT CHARACTER}" for c in (*range(32), *range(127, 160)) if chr(c) not in "\t\n"}


def printable(text: str) -> str:
    """Replace the characters that a terminal would obey: data and names may hold its escape sequences.

    Example:
        >>> printable("a\\x1b[31mb")
        'a\N{REPLACEMENT CHARACTER}[31mb'
    """
    return text.translate(CONTROL)


def markdown(text: str) -> str:
    """Write text so that Markdown, in a table too, shows it as it is.

    Example:
        >>> markdown("a|b *c* _d_ e_f")
        'a\\\\|b \\\\*c\\\\* \\\\_d\\\\_ e_f'
    """
    return re.sub(r"([\\`*\[\]<>|$~&#]|\b_|_\b|(?<=_)_)", r"\\\1", printable(" ".join(text.split("\n"))))


class Output:
    """A stream that shows text as it is. What cannot be written any more is lost, which `lost` says.

    Characters that the encoding has not are replaced. `verbatim` is the same stream for escape sequences of the
    program's own.
    """

    def __init__(self, stream: Any, escapes: bool = False) -> None:
        self.stream, self.escapes = stream, escapes
        self.lost: OSError | None = None
        self.verbatim: Output = self
        if not escapes:
            self.verbatim = Output(stream, escapes=True)
            with suppress(AttributeError, OSError, ValueError):  # not a stream of Python's
                stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write text, or nothing where the stream has been closed or its disk is full."""
        self._attempt(lambda: self.stream.write(text if self.escapes else printable(text)))
        return len(text)

    def flush(self) -> None:
        """Pass on what has been written."""
        self._attempt(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            self.lost = error
            with suppress(OSError, ValueError):  # or every later write, and Python's last, would fail again
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def protected() -> Iterator[Callable[[], OSError | None]]:
    """Print to `Output`s meanwhile; yield a function that returns why standard output was lost, if it was."""
    _open_standard_descriptors()
    before = sys.stdout, sys.stderr
    out = Output(sys.stdout)
    sys.stdout, sys.stderr = out, Output(sys.stderr).verbatim  # type: ignore[assignment]

    def lost() -> OSError | None:
        out.flush()
        return out.lost or out.verbatim.lost

    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def answered(call: Callable[[], int]) -> int:
    """Return the exit code of a call; what it refuses, or the system refused it, is one line and exit code 2."""
    try:
        return call()
    except UserError as error:
        answer = error
    except OSError as error:
        answer = of_the_system(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        answer = UserError(f"out of memory ({first_line(error)})", hint="ask for less at a time")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    print("error:", printable(" ".join(str(answer).splitlines())), file=sys.stderr)
    return BAD_INPUT


def _open_standard_descriptors() -> None:
    """Open what the caller has closed: the next file would get its number, and what is printed would be in it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                opened = os.open(os.devnull, os.O_RDWR)
                if opened != number:
                    os.dup2(opened, number)
                    os.close(opened)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as Python's own


def verbatim(stream: Any) -> Any:
    """Return a standard stream as it takes escape sequences, such as colours."""
    return getattr(stream, "verbatim", stream)
