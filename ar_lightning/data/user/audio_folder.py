"""Any folder of recordings (`data.name=audio_folder data.path=my_recordings`), and sound cut into examples."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Splits
from ar_lightning.data.cache import Decoded
from ar_lightning.data.labels import as_labels
from ar_lightning.data.ragged import ragged
from ar_lightning.data.split_folder import SplitFolder
from ar_lightning.media.mu_law import MAX_LEVELS, Encoding, to_levels
from ar_lightning.media.recording import SUFFIXES, count_samples, read_audio

__all__ = ["AudioFolder", "SoundFormat"]


@dataclass(frozen=True)
class SoundFormat:
    """Format of examples of sound: their length and rate, and levels or amplitudes."""

    rate: int  # samples a second
    length: int  # samples of an example, T
    levels: int | None  # K; None for real amplitudes
    encoding: Encoding  # how amplitudes lie on the levels
    ends: bool = False  # examples end where they end: the last level is the end

    def __post_init__(self) -> None:
        if self.levels is not None and not 2 <= self.levels <= MAX_LEVELS:
            raise UserError(f"data.levels={self.levels}: sound has 2 to {MAX_LEVELS} levels, or null for real values")
        if self.ends and self.levels is None:
            raise UserError("data.pad=none: real amplitudes have no level for an end; set data.levels")

    def spec(self, classes: int) -> DataSpec:
        """Return the spec of a dataset of such examples."""
        medium = Audio(self.rate, "linear" if self.levels is None else self.encoding)
        levels = self.levels + 1 if self.ends and self.levels else self.levels
        return DataSpec((1, self.length), levels, classes, medium=medium, ends=self.ends)

    def examples(self, amplitudes: np.ndarray, every: bool) -> np.ndarray:
        """Cut sound `(T',)` into examples `(n, 1, T)`: the first, or `every` whole one; a short one ends in silence.

        Where examples end where they end, it is one example, whose end fills what is left of it.

        Returns:
            Levels, or amplitudes in [-1, 1] as float32.
        """
        if self.ends and self.levels:
            levels = to_levels(amplitudes[: self.length].reshape(1, -1), self.levels, self.encoding)
            return ragged(levels.ravel(), np.array([levels.size]), self.length, self.levels)
        n = max(1, len(amplitudes) // self.length) if every else 1
        kept = amplitudes[: n * self.length]
        padded = np.pad(kept, (0, n * self.length - len(kept))).reshape(n, 1, self.length)
        if self.levels is None:
            return np.clip(padded, -1, 1).astype(np.float32)
        return to_levels(padded, self.levels, self.encoding)

    def read(self, file: Path, every: bool) -> Decoded:
        """Return the examples in a file, as `examples` cuts them."""
        amplitudes, remarks = read_audio(file, self.rate)
        return Decoded(self.examples(amplitudes, every), remarks)

    def __str__(self) -> str:
        values = "real amplitudes" if self.levels is None else f"{self.levels} {self.encoding.replace('_', '-')} levels"
        most = "at most " * self.ends
        return f"{most}{self.length} samples at {self.rate} Hz, {values}{', and an end' * self.ends}"


class AudioFolder(Dataset):
    """Your own recordings from a folder: wav, flac, ogg, mp3, aiff .., cut into examples of one length.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits, and other files are then left out; one that is
    missing is held out of train, a tenth of its files. Below that, where every file lies in a sub-folder, the names of
    these are the classes, if there are two or more. Hidden files are left out; what is, is said.

    A recording becomes the mean of its channels, and it is said where these cancel. It is resampled to `rate` by a
    polyphase filter, and cut into examples that follow each other. What is left over is dropped, but a recording
    shorter than `length` is kept, and ends in silence. With `pad: none`, a recording is one example that ends where it
    ends, or is cut at `length`: the end is a level of its own, scored and drawn at every sample.

    What comes of it is kept in the folder `audio_folder` of $AR_LIGHTNING_DATA, else of the user's cache; a changed
    file makes a new copy.

    Args:
        path: the folder.
        rate: samples a second.
        length: samples of an example.
        levels: levels an amplitude is quantised to, 2 to 65536; null for real amplitudes in [-1, 1].
        encoding: how amplitudes lie on the levels: mu_law finer where they are small, linear evenly.
        pad: what follows a recording that is shorter than an example: silence, which is modelled, or none.
        split_seed: seed of the held-out splits, where the folder has none.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        rate: PositiveInt = 16000,
        length: PositiveInt = 8192,
        levels: PositiveInt | None = 256,
        encoding: Literal["mu_law", "linear"] = "mu_law",
        pad: Literal["silence", "none"] = "silence",
        split_seed: NonNegativeInt = 0,
    ) -> None:
        self.folder = SplitFolder(path, "audio_folder", "recordings", SUFFIXES, split_seed)
        self.format = SoundFormat(rate, length, levels, encoding, ends=pad == "none")

    @property
    def spec(self) -> DataSpec:
        names = self.folder.classes
        return replace(self.format.spec(len(names)), labels=as_labels(names))

    @property
    def regime(self) -> str:
        splits = self.load()
        sizes = "/".join(str(len(splits[name].x)) for name in SPLITS)
        files = "/".join(str(len(self.folder.files[name])) for name in SPLITS)
        lengths, length = self._lengths, self.format.length
        short = int((lengths < length).sum())
        if self.format.ends:
            made = f"{sizes} recordings, {len(lengths) - short} of which are cut"
            return f"{self.folder.name}, {self.format}, {self.folder.regime}, {made}{self.folder.notes}"
        made = f"{sizes} examples of {files} files, {short} of which are shorter and end in silence"
        if over := int((lengths % length)[lengths >= length].sum()):
            made += f", {over / lengths.sum():.1%} of the sound left over at their ends and dropped"
        return f"{self.folder.name}, {self.format}, {self.folder.regime}, {made}{self.folder.notes}"

    def load(self) -> Splits:
        return self.folder.load((self.format, True), partial(self.format.read, every=True))

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Number of samples of each recording."""
        files = [file for files in self.folder.files.values() for file in files]
        return np.array([count_samples(file, self.format.rate) for file in files])
