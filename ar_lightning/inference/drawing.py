"""What drawing samples and completions have in common: the class that is asked for, and the names of the files."""

from pathlib import Path

from ar_lightning.core.errors import UserError
from ar_lightning.density.density import Density

__all__ = ["check_class", "stem_of"]

ENDINGS = (".png", ".npz", ".wav", ".csv", ".txt")


def check_class(density: Density, label: int | None) -> None:
    """Refuse a class that a density does not know.

    Args:
        density: which is to draw.
        label: the class; null for none in particular.

    Raises:
        UserError: there is no such class, or the density is unconditional.
    """
    if label is not None and not density.conditional:
        raise UserError(f"--cond {label}: this density is unconditional; train one with model.conditional=true")
    if label is not None and not 0 <= label < density.spec.classes:
        raise UserError(f"--cond {label}: its classes are 0..{density.spec.classes - 1}")


def stem_of(out: str | None, default: Path) -> Path:
    """Return the path of the files without their endings: `grid.png` is asked for as `grid`, for there may be more.

    Args:
        out: what was asked for; null for the default.
        default: the path otherwise.
    """
    if out is None:
        return default
    path = Path(out).expanduser()
    return path.with_suffix("") if path.suffix.lower() in ENDINGS else path
