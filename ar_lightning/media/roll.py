"""Frames of channels: piano rolls to look at and, where channels are keys, to listen to; lines where they are real."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.medium import Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media, as_completions, prefix_of
from ar_lightning.media.channels import draw_channels
from ar_lightning.media.images import BACKGROUND, UNKNOWN, save_png
from ar_lightning.media.sound import WAVS, write_wavs

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Rolls", "synthesised"]

ROWS = 16  # rolls on a sheet
CELL = 4  # pixels of a frame and of a channel
GAP = 4
SOUND = 16000  # samples a second
ATTACK, DECAY = 0.01, 0.6  # seconds: until a tone is loud, and until it has died down to a third
A4, A4_HZ = 69, 440.0  # the tone that all are tuned by
PARTIALS = np.array([1.0, 0.4, 0.2, 0.1])  # amplitudes of a tone and its overtones


class Rolls(Media):
    """Frames `(N, C, T)` of channels; `(N, 1 + C, T)` where the first says what is over."""

    name = "frames"
    unit = "frames"

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec.medium, Roll)
        self.rate, self.lowest = spec.medium.rate, spec.medium.lowest
        self.levels = spec.without_noise().levels

    def frames(self, x: Tensor) -> list[np.ndarray]:
        """Return the frames `(C, n)` of each example, n as many as it has, as shades 0 to 1, or as they are if real."""
        values = self.without_noise(x).detach().cpu().double().numpy()
        if self.levels:
            values = values / (self.levels - 1)
        if not self.spec.ends:
            return list(values)
        return [example[1:, example[0] == 0] for example in values]

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write a sheet of the first samples, `STEM.png`, and of keys how they sound, `STEM-0.wav`, `STEM-1.wav` .."""
        sheet = stem.with_name(f"{stem.name}.png")
        told = known // self.spec.shape[0]
        if self.levels:
            save_png(self.sheet(x[:ROWS], told), sheet)
        else:
            with written(sheet) as partial:
                draw_channels(self.frames(x[:ROWS]), self.spec.shape[1], self.rate, partial, told)
        if self.lowest is None:
            return {"samples": sheet}
        sounds = [synthesised(frames, self.rate, self.lowest) for frames in self.frames(x[:WAVS])]
        return {"samples": sheet, "samples, sound": write_wavs(sounds, SOUND, stem)[0]}

    def write_completions(self, x: Tensor, masks: Tensor, drawn: Tensor, stem: Path) -> Files:
        """Write completions `(N, 1, K, C, T)` as samples are, the frames that were known shaded."""
        known = prefix_of(masks[0].all(0)[None]) * self.spec.shape[0]
        return as_completions(self.write_samples(drawn[:, 0, 0], stem, known=known)) if known else {}

    def show(self, x: Tensor, columns: int = 0) -> "Image":
        """Return a sheet as a picture."""
        from PIL import Image

        if self.levels:
            return Image.fromarray(self.sheet(x))
        content = BytesIO()
        draw_channels(self.frames(x), self.spec.shape[1], self.rate, content)
        return Image.open(content)

    def sheet(self, x: Tensor, known: int = 0) -> np.ndarray:
        """Return a picture `(height, width, 3)`, a roll below another: the highest key on top, grey after an end."""
        channels, length = self.spec.shape[0] - self.spec.ends, self.spec.shape[1]
        rolls = np.full((len(x), channels + 1, length, 3), BACKGROUND, np.uint8)
        for roll, frames in zip(rolls, self.frames(x), strict=True):
            roll[:-1, : frames.shape[1]] = np.rint(255 * (1 - frames[::-1, :, None]))
            told = roll[:-1, : min(known, frames.shape[1])]
            told[(told == 255).all(2)] = UNKNOWN
        return rolls.reshape(-1, length, 3).repeat(CELL, 0).repeat(CELL, 1)


def synthesised(frames: np.ndarray, rate: float, lowest: int) -> np.ndarray:
    """Return the sound `(samples,)` in [-1, 1] of keys `(C, n)`: sines and overtones that die down until struck again.

    A key that is held over frames is struck once.
    """
    size = round(SOUND / rate)
    sound = np.zeros(frames.shape[1] * size)
    for key, row in enumerate(frames):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(np.int8), 1)))
        for start, stop in edges.reshape(-1, 2) * size:
            t = np.arange(stop - start) / SOUND
            hertz = A4_HZ * 2 ** ((lowest + key - A4) / 12)
            overtones = np.arange(1, len(PARTIALS) + 1)
            loud = PARTIALS * (overtones * hertz < SOUND / 2)
            envelope = np.minimum(1, t / ATTACK) * np.minimum(1, t[::-1] / ATTACK) * np.exp(-t / DECAY)
            sound[start:stop] += envelope * (loud @ np.sin(2 * np.pi * hertz * overtones[:, None] * t))
    return sound / max(1.0, float(np.abs(sound).max(initial=0)))
