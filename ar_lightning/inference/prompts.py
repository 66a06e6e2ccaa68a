"""The start of an example, from the command line: text or a text file, a sound file, or the upper part of a picture."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Audio, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.user.audio_folder import read_audio
from ar_lightning.inference.inputs import read_picture
from ar_lightning.media.mu_law import encode
from ar_lightning.media.text import to_levels

__all__ = ["read_prompt"]


def read_prompt(source: str, spec: DataSpec, keep: float | None = None) -> Tensor:
    """Return what a prompt gives: the first values of a sequence `(C, n)`, or the upper rows of an image `(C, n, W)`.

    Args:
        source: text, or the path of a text, sound or image file.
        spec: of the data.
        keep: fraction of it to take; null for a whole text, for as much of a sound as leaves half of the length free,
            and for half of an image.

    Raises:
        UserError: it cannot be read, is longer than what there is to complete, or the data has no prompts.
    """
    if keep is not None and not 0 < keep <= 1:
        raise UserError(f"--keep {keep:g}: expected a fraction of the prompt, above 0 and at most 1")
    match spec.medium:
        case Text():
            values = _text(source, spec)[0]
            given = values[:, : _part(values.shape[1], keep or 1.0)]
        case Audio():
            values = _sound(source, spec, spec.medium)
            n = _part(values.shape[1], keep) if keep else min(values.shape[1], spec.shape[-1] // 2)
            given = values[:, :n]
        case None if len(spec.shape) == 3 and spec.shape[0] in (1, 3):
            given = _image(source, spec)[:, : _part(spec.shape[1], keep or 0.5)]
        case _:
            raise UserError(f"--prompt: {spec} has no prompts; they are for text, sound and images")
    if given.shape[1] >= spec.shape[1]:
        what = "rows" if len(spec.shape) == 3 else "characters" if isinstance(spec.medium, Text) else "samples"
        raise UserError(
            f"--prompt: gives {given.shape[1]} of {spec.shape[1]} {what}, so nothing is left to draw: "
            "take a smaller --keep, or a larger --length"
        )
    return given


def _part(n: int, keep: float) -> int:
    return max(1, round(keep * n))


def _text(source: str, spec: DataSpec) -> Tensor:
    is_file = len(source) < 4096 and "\n" not in source and Path(source).is_file()
    try:
        text = Path(source).read_text(encoding="utf-8") if is_file else source
    except UnicodeDecodeError as error:
        raise UserError(f"--prompt: {source} is no UTF-8 text (byte {error.start})") from None
    if not text:
        raise UserError("--prompt: is empty; leave it out to draw from the start")
    return to_levels(text, spec)


def _sound(source: str, spec: DataSpec, medium: Audio) -> Tensor:
    amplitudes = read_audio(Path(source).expanduser(), medium.rate)[None]
    levels = spec.levels or spec.quantised
    if levels is None:
        return torch.from_numpy(np.ascontiguousarray(amplitudes, dtype=np.float32))
    return _as_values(torch.from_numpy(encode(amplitudes, levels, medium.encoding).astype(np.int64)), spec)


def _image(source: str, spec: DataSpec) -> Tensor:
    path = Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"--prompt: no picture {path}")
    return _as_values(torch.from_numpy(read_picture(path, spec)), spec)


def _as_values(levels: Tensor, spec: DataSpec) -> Tensor:
    """Return levels as the values that a density reads: the middle of their intervals where noise was added to them."""
    return levels if spec.quantised is None else (levels + 0.5) * (2 / spec.quantised) - 1
