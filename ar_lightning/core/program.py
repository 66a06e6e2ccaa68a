"""The name of the program, as the user started it: for help texts, and for commands that a message tells to type."""

import sys
from pathlib import Path

__all__ = ["program"]


def program() -> str:
    """Return `ar-lightning`, `python -m ar_lightning` or, from a checkout, `python run.py`."""
    started = Path(sys.argv[0])
    if started.stem == "ar-lightning":
        return "ar-lightning"
    return "python -m ar_lightning" if started.parts[-2:] == ("ar_lightning", "__main__.py") else "python run.py"
