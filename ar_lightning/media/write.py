"""Samples and completions as files for people: pictures, sound, text or tables, whatever the data is."""

from pathlib import Path

from torch import Tensor

from ar_lightning.core.levels import levels_of
from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.images import completion_grid, image_grid, save_png
from ar_lightning.media.sound import sound_sheet_png, write_wavs
from ar_lightning.media.table import pair_plot_png, write_csv
from ar_lightning.media.text import write_texts

__all__ = ["completions_shown", "prefix_of", "write_completions", "write_samples"]

WAVS = 8  # recordings written of a batch of sounds
COMPLETIONS = 6  # pictures of an example, shared among what may be known of it

Files = dict[str, Path]  # by kind


def write_samples(
    x: Tensor, spec: DataSpec, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
) -> Files:
    """Write samples as `STEM.png`, `STEM-0.wav` .., `STEM.txt` or `STEM.csv`; return the files by kind.

    Args:
        x: samples `(N, C, *sites)`.
        spec: of the data.
        stem: path of the files, without their endings.
        data: examples of a table, to compare the samples with.
        columns: of a grid of pictures; 0 for a grid about as wide as high.
        known: values at the start of each sequence that were given, not drawn; they are marked.
    """
    png, csv, txt = (stem.with_name(stem.name + ending) for ending in (".png", ".csv", ".txt"))
    match spec.medium:
        case Audio():
            return _sounds(x, spec, stem, "samples", known)
        case Text():
            write_texts(x, spec, txt, known)
            return {"samples": txt}
        case Table():
            write_csv(x, spec, csv)
            if data is None:
                return {"samples": csv}
            pair_plot_png(data, x, spec, png)
            return {"pairs": png, "samples": csv}
    pixels, spec = as_levels(x, spec)
    save_png(image_grid(pixels, spec, columns), png)
    return {"samples": png}


def completions_shown(spec: DataSpec) -> int:
    """Return how many completions of an example are shown: several pictures, one sound or text, no row of a table."""
    match spec.medium:
        case Table():
            return 0
        case Audio() | Text():
            return 1
    return COMPLETIONS


def write_completions(x: Tensor, masks: Tensor, drawn: Tensor, spec: DataSpec, stem: Path) -> Files:
    """Write completions of what is no table beside what was known; return the files by kind.

    Args:
        x: examples `(N, C, *sites)`.
        masks: True where a value was known, `(M, C, *sites)`; only pictures can have several, or any but a prefix.
        drawn: completions `(N, M, K, C, *sites)`.
        spec: of the data.
        stem: path of the files, without their endings.
    """
    png, txt = (stem.with_name(stem.name + ending) for ending in (".png", ".txt"))
    if isinstance(spec.medium, Audio | Text):
        known, first = prefix_of(masks[0]), drawn[:, 0, 0]
        if not known:
            return {}
        if isinstance(spec.medium, Audio):
            return _sounds(first, spec, stem, "completions", known)
        write_texts(first, spec, txt, known)
        return {"completions": txt}
    pixels, levels = as_levels(x, spec)
    completed, _ = as_levels(drawn, spec)
    save_png(completion_grid(pixels, masks, completed, levels), png)
    return {"completions": png}


def prefix_of(mask: Tensor) -> int:
    """Return how many values a mask `(1, T)` says are known, where these come first; else 0."""
    known = int(mask.sum())
    return known if mask.ndim == 2 and bool(mask[0, :known].all()) else 0


def as_levels(x: Tensor, spec: DataSpec) -> tuple[Tensor, DataSpec]:
    """Return values that noise was added to as the levels that they were, and the spec of those."""
    if not spec.quantised:
        return x, spec
    return levels_of(x, spec.quantised), DataSpec(spec.shape, spec.quantised, spec.classes)


def _sounds(x: Tensor, spec: DataSpec, stem: Path, kind: str, known: int = 0) -> Files:
    sheet = stem.with_name(stem.name + ".png")
    sound_sheet_png(x, spec, sheet, known)
    return {kind: sheet, f"{kind}, sound": write_wavs(x[:WAVS], spec, stem)[0]}
