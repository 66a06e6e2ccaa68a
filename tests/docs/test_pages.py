"""README and docs: what they link to is there, and each fits its reader."""

import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.pages import PAGES, SOURCES, links

FOLDERS = ("conf", "benchmarks", "ar_lightning", "docs", "sweeps", "tests", "examples")
MADE_BY_THE_SITE = {ROOT / "docs" / "tutorial.ipynb", ROOT / "docs" / "tutorial-tables.ipynb"}


@pytest.mark.parametrize("path", SOURCES.values(), ids=str)
def test_what_a_page_links_to_is_there(path: Path) -> None:
    assert [link for link in links(path) if not link.exists() and link not in MADE_BY_THE_SITE] == []


@pytest.mark.parametrize("path", SOURCES.values(), ids=str)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    for name in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", path.read_text()):
        assert (ROOT / name).exists() or name.startswith("docs/_build"), name


def test_files_that_a_script_names_are_there() -> None:
    scripts = [ROOT / ".ci" / "run", *(ROOT / "benchmarks").rglob("*.sh")]
    names = [name for path in scripts for name in re.findall(r"\btests/[\w/]*\.py", path.read_text())]
    assert len(names) > 0 and [name for name in names if not (ROOT / name).exists()] == []


def test_files_that_the_architecture_names_are_there() -> None:
    """Named from the package, or within the paragraph of a package, from there."""
    package = ROOT / "ar_lightning"
    there = {str(p.relative_to(package)) for p in package.rglob("*") if "__pycache__" not in p.parts}
    there |= {p.name for p in ROOT.iterdir()}
    names = re.findall(r"`([\w/.]+\.py|\w+/)`", (ROOT / "ARCHITECTURE.md").read_text())
    ends = {"/" + path for path in there}
    missing = [n for n in names if not (ROOT / n).exists() and not any(e.endswith("/" + n.rstrip("/")) for e in ends)]
    assert len(names) > 50 and missing == []


def test_the_readme_is_short() -> None:
    assert len(PAGES["README"].splitlines()) <= 200
