"""Codes are read by the arithmetic that wrote them: what rounds otherwise than it once did asks of which form they are.

Each form of `inference/codec` is of one arithmetic; all else computes as the newest form does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FORM", "form", "rounding_of"]

FORM = 3  # of codes; 1 was written up to version 0.2, and 2 before layers that are alike were computed together
_form = FORM


def form() -> int:
    """Return of which form of codes the arithmetic is."""
    return _form


@contextmanager
def rounding_of(form: int) -> Iterator[None]:
    """Let networks round as they did where codes of a form were written."""
    global _form
    before, _form = _form, form
    try:
        yield
    finally:
        _form = before
