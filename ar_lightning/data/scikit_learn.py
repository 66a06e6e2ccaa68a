"""The data that scikit-learn bundles, read without importing it, which takes long."""

import importlib.util
from pathlib import Path

from ar_lightning.core.errors import UserError

__all__ = ["bundled_files"]


def bundled_files(pattern: str, hint: str = "") -> list[Path]:
    """Return the files below `sklearn/datasets` that match, by name; a `UserError` if there are none."""
    package = importlib.util.find_spec("sklearn")
    folder = Path(package.origin or "").parent / "datasets" if package else Path()
    files = sorted(folder.glob(pattern), key=lambda file: file.name) if package else []
    if not files:
        raise UserError(
            f"scikit-learn bundles {pattern}, and it is not there", hint=hint or "install scikit-learn again"
        )
    return files
