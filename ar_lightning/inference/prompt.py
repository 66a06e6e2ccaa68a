"""What samples begin with: text, or the start of a text, sound or image file, in the terms of a density."""

import os
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.levels import scaled
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec
from ar_lightning.inference.inputs import read_image, read_sound, read_text
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import Images, is_image
from ar_lightning.media.picture import Background
from ar_lightning.media.sound import Sounds
from ar_lightning.media.text import Texts

__all__ = ["read_prompt"]


def read_prompt(source: str, spec: DataSpec, keep: float | None = None, background: Background = "white") -> Tensor:
    """Return what a prompt holds: the first values of a sequence `(C, n)`, or the upper rows of an image `(C, n, W)`.

    It is text, or the path of a text, sound or image file, of which the fraction `keep` is taken; null for a whole
    text, for as much of a sound as leaves half of the length free, and for half of an image.
    """
    if keep is not None and not 0 < keep <= 1:
        raise UserError(f"--keep {keep:g}: expected a fraction of the prompt, above 0 and at most 1")
    media = media_of(spec)
    remarks: Counter[str] = Counter()
    match media:
        case Texts():
            values = read_text(Path(source), media)[None] if _is_path(source) else media.levels(source)[0]
            most = values.shape[1]
        case Sounds():
            values = torch.from_numpy(read_sound(Path(source).expanduser(), media, None, remarks)[0])
            most = min(values.shape[1], spec.shape[1] // 2)
        case Images() if is_image(spec):
            path = Path(source).expanduser()
            if not path.is_file():
                raise UserError(f"--prompt: no such file {path}")
            values = torch.from_numpy(read_image(path, spec, background, remarks))
            most = round(spec.shape[1] / 2)
        case _:
            raise UserError(f"--prompt: {spec} has no prompts; they are for text, sound and images")
    if remarks:
        notice(f"{source}: {', '.join(remarks)}")
    if not values.numel():
        raise UserError("--prompt: is empty; leave it out to draw from the start")
    n = max(1, round(keep * values.shape[1]) if keep else most)
    if n >= spec.shape[1]:
        raise UserError(
            f"--prompt: gives {n} of {spec.shape[1]} {media.unit}, so nothing is left to draw: "
            "take a smaller --keep, or a larger --length"
        )
    start = values[:, :n]
    if start.is_floating_point():
        return start
    # Where a density reads levels with noise, the middle of their intervals.
    return start.long() if spec.quantised is None else scaled(start + 0.5, spec.quantised)


def _is_path(source: str) -> bool:
    """Return whether a prompt is the path of a file, rather than text itself; refuse what is there but no file."""
    if os.path.isfile(source):  # noqa: PTH113 - Path.is_file raises where a text is too long for a name
        return True
    if os.path.exists(source) and not os.path.isdir(source):  # noqa: PTH110, PTH112 - as above
        raise UserError(f"--prompt {source}: is a pipe or a device, not a file; give its text, or a file of it")
    return False
