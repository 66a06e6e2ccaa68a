"""The beginning of a sample, from the command line: text, or a text, sound or image file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.inference.inputs import read_image
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import Images
from ar_lightning.media.mu_law import to_levels
from ar_lightning.media.recording import read_audio
from ar_lightning.media.sound import Sounds
from ar_lightning.media.text import Texts

__all__ = ["read_prompt"]


def read_prompt(source: str, spec: DataSpec, keep: float | None = None) -> Tensor:
    """Return what a prompt holds: the first values of a sequence `(C, n)`, or the upper rows of an image `(C, n, W)`.

    Args:
        source: text, or the path of a text, sound or image file.
        spec: of the data.
        keep: fraction of it to take; null for a whole text, for as much of a sound as leaves half of the length free,
            and for half of an image.

    Raises:
        UserError: the prompt cannot be read, leaves nothing to draw, or the data has no prompts.
    """
    if keep is not None and not 0 < keep <= 1:
        raise UserError(f"--keep {keep:g}: expected a fraction of the prompt, above 0 and at most 1")
    media = media_of(spec)
    match media:
        case Texts():
            values = _text(source, media)
            start = values[:, : _part(values.shape[1], keep or 1.0)]
        case Sounds():
            values = _sound(source, media)
            n = _part(values.shape[1], keep) if keep else min(values.shape[1], spec.shape[-1] // 2)
            start = values[:, :n]
        case Images() if len(spec.shape) == 3 and spec.shape[0] in (1, 3):
            start = _image(source, spec)[:, : _part(spec.shape[1], keep or 0.5)]
        case _:
            raise UserError(f"--prompt: {spec} has no prompts; they are for text, sound and images")
    if start.shape[1] >= spec.shape[1]:
        raise UserError(
            f"--prompt: gives {start.shape[1]} of {spec.shape[1]} {media.unit}, so nothing is left to draw: "
            "take a smaller --keep, or a larger --length"
        )
    return start


def _part(n: int, keep: float) -> int:
    return max(1, round(keep * n))


def _text(source: str, media: Texts) -> Tensor:
    is_file = len(source) < 4096 and "\n" not in source and Path(source).is_file()
    try:
        text = Path(source).read_text(encoding="utf-8") if is_file else source
    except UnicodeDecodeError as error:
        raise UserError(f"--prompt: {source} is no UTF-8 text (byte {error.start})") from None
    if not text:
        raise UserError("--prompt: is empty; leave it out to draw from the start")
    return media.levels(text)[0]


def _sound(source: str, media: Sounds) -> Tensor:
    amplitudes = read_audio(Path(source).expanduser(), media.rate)[None]
    levels = media.spec.without_noise().levels
    if levels is None:
        return torch.from_numpy(np.ascontiguousarray(amplitudes, dtype=np.float32))
    quantised = to_levels(amplitudes, levels, media.encoding).astype(np.int64)
    return _as_values(torch.from_numpy(quantised), media.spec)


def _image(source: str, spec: DataSpec) -> Tensor:
    path = Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"--prompt: no picture {path}")
    return _as_values(torch.from_numpy(read_image(path, spec)), spec)


def _as_values(levels: Tensor, spec: DataSpec) -> Tensor:
    """Return levels as the values that a density reads: the middle of their intervals where noise was added to them."""
    return levels if spec.quantised is None else (levels + 0.5) * (2 / spec.quantised) - 1
