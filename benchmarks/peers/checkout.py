"""Checkouts of public repositories, whose files are imported as they are."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["commit_of", "imported", "on_path"]


def commit_of(checkout: Path) -> str:
    """Return the first twelve digits of the commit of a checkout; `unknown` where it is none."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported by their names, before any others."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def imported(file: Path, changes: Mapping[str, str] | None = None) -> ModuleType:
    """Return a file as a module that is known by its stem, after the given changes to its text, old to new.

    Raises:
        ValueError: a text to change is not in the file, which is of another commit then.
    """
    source = file.read_text()
    for old, new in (changes or {}).items():
        if old not in source:
            raise ValueError(f"{file}: has no {old!r}, so it is not of the commit that is measured")
        source = source.replace(old, new)
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules[file.stem] = module  # where dataclasses and the next file look for it
    exec(compile(source, str(file), "exec"), module.__dict__)
    return module
