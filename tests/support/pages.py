"""README and the pages of docs: their commands, code, tables and links."""

import re
import shlex
from pathlib import Path

from tests.support.commands import ROOT

RUN_PY = re.compile(r"(?:python run\.py|python -m ar_lightning|ar-lightning) (.*)")
PAGES = {p.stem: p.read_text() for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
SOURCES = {p.name: p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


def shell_lines(page: str) -> list[str]:
    """Return what a page tells the reader to type."""
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line]


def commands(page: str) -> list[list[str]]:
    """Return the arguments of every command of this project on a page, in order."""
    found = (RUN_PY.search(line) for line in shell_lines(page))
    return [shlex.split(match[1], comments=True) for match in found if match]


def row(page: str, first: str) -> str:
    """Return the row of a table whose first cell is this; there is one on the page."""
    (line,) = [line for line in PAGES[page].splitlines() if line.startswith(f"| {first} |")]
    return line


def links(path: Path) -> list[Path]:
    """Return the files that a page links to or shows."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", path.read_text())
    return [path.parent / target for target in targets]
