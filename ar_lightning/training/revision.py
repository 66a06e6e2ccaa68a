"""The commit that a result is of."""

import subprocess
from pathlib import Path

__all__ = ["git_revision"]

# What `reproduce` itself writes: one row's result does not make the next one another program's.
WRITTEN = ("RESULTS.md", "benchmarks/results")


def git_revision(folder: Path = Path(__file__).parent) -> str | None:
    """Return the commit of a checkout, with `-dirty` where files were changed that are no results; None outside git.

    Args:
        folder: anywhere in the checkout.
    """
    revision = _git(folder, "rev-parse", "--short=12", "HEAD")
    if revision is None or revision.returncode:
        return None
    others = [f":(top,exclude){path}" for path in WRITTEN]
    changes = _git(folder, "diff", "--quiet", "HEAD", "--", ":(top)", *others)
    return revision.stdout.strip() + ("-dirty" if changes is None or changes.returncode else "")


def _git(folder: Path, *command: str) -> subprocess.CompletedProcess[str] | None:
    """Return what git answers; None where there is none, or no answer."""
    try:
        return subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
