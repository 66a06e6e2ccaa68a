"""A terminal to which data are no markup. rich is imported where something is drawn."""

import sys
from typing import TYPE_CHECKING, Any

from ar_lightning.core.output import printable, verbatim

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console"]


def console(**settings: Any) -> "Console":
    """Return a console of rich's to which text is no markup; only what rich itself draws has escape sequences."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render(self, *args: Any, **kwargs: Any) -> Any:
            for segment in super().render(*args, **kwargs):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return Plain(**{"file": verbatim(sys.stdout), "markup": False, "emoji": False, **settings})
