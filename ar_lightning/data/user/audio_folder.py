"""Any folder of recordings (`data.name=audio_folder data.path=my_recordings`), and sound cut into examples."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.cache import Blocks, cached_split, fingerprint, stamp
from ar_lightning.data.download import ENVIRONMENT, data_root
from ar_lightning.data.split_folder import SplitFolder
from ar_lightning.media.mu_law import MAX_LEVELS, Encoding, to_levels
from ar_lightning.media.recording import count_samples, read_audio

__all__ = ["AudioFolder", "SoundFormat", "cached_sounds"]

SUFFIXES = (".wav", ".flac", ".ogg")
CHUNK = 16  # files decoded before they are written: an hour of sound is large


@dataclass(frozen=True)
class SoundFormat:
    """Format of examples of sound: their length and rate, and levels or amplitudes.

    Args:
        rate: samples a second.
        length: samples of an example, T.
        levels: K; None for real amplitudes.
        encoding: how amplitudes lie on the levels.

    Raises:
        UserError: `levels` is out of range.
    """

    rate: int
    length: int
    levels: int | None
    encoding: Encoding

    def __post_init__(self) -> None:
        if self.levels is not None and not 2 <= self.levels <= MAX_LEVELS:
            raise UserError(f"data.levels={self.levels}: sound has 2 to {MAX_LEVELS} levels, or null for real values")

    def spec(self, classes: int) -> DataSpec:
        """Return the spec of a dataset of such examples."""
        medium = Audio(self.rate, "linear" if self.levels is None else self.encoding)
        return DataSpec((1, self.length), self.levels, classes, medium=medium)

    def examples(self, amplitudes: np.ndarray, every: bool) -> np.ndarray:
        """Cut sound `(T',)` into examples `(n, 1, T)`: the first, or `every` whole one; a short one ends in silence.

        Returns:
            Levels, or amplitudes in [-1, 1] as float32.
        """
        n = max(1, len(amplitudes) // self.length) if every else 1
        kept = amplitudes[: n * self.length]
        padded = np.pad(kept, (0, n * self.length - len(kept))).reshape(n, 1, self.length)
        if self.levels is None:
            return np.clip(padded, -1, 1).astype(np.float32)
        return to_levels(padded, self.levels, self.encoding)

    def __str__(self) -> str:
        values = "real amplitudes" if self.levels is None else f"{self.levels} {self.encoding.replace('_', '-')} levels"
        return f"{self.length} samples at {self.rate} Hz, {values}"


class AudioFolder(Dataset):
    """Your own recordings from a folder: wav, flac or ogg, cut into examples of one length.

    Sub-folders `train`, `valid` (or `val`) and `test` are the splits, and other files are then left out; one that is
    missing is held out of train, a tenth of its files. Below that, where every file lies in a sub-folder, the names of
    these are the classes, if there are two or more. Hidden files are left out.

    A recording becomes the mean of its channels, is resampled to `rate` by a polyphase filter, and cut into examples
    that follow each other. What is left over is dropped, but a recording shorter than `length` is kept, and ends in
    silence. What comes of it is kept in the folder `audio_folder` of $AR_LIGHTNING_DATA, else of the user's cache; a
    changed file makes a new copy.

    Args:
        path: the folder.
        rate: samples a second.
        length: samples of an example.
        levels: levels an amplitude is quantised to, 2 to 65536; null for real amplitudes in [-1, 1].
        encoding: how amplitudes lie on the levels: mu_law finer where they are small, linear evenly.
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
        split_seed: NonNegativeInt = 0,
    ) -> None:
        self.folder = SplitFolder(path, "audio_folder", "recordings", SUFFIXES, split_seed)
        self.format = SoundFormat(rate, length, levels, encoding)

    @property
    def spec(self) -> DataSpec:
        """Shape, levels and number of classes; lists the files once, and reads none."""
        return self.format.spec(len(self.folder.classes))

    @property
    def regime(self) -> str:
        """The format, how files are split and how many examples they make, and how many of these are padded."""
        splits = self.load()
        sizes = "/".join(str(len(splits[name].x)) for name in SPLITS)
        files = "/".join(str(len(self.folder.files[name])) for name in SPLITS)
        made = f"{sizes} examples of {files} files, {self._short} of which are shorter and end in silence"
        return f"{self.folder.base.name}, {self.format}, {self.folder.regime}, {made}"

    def load(self) -> Splits:
        """Return the three splits, memory-mapped.

        Raises:
            UserError: a file cannot be read as sound, there are too few, or what they make cannot be kept.
        """
        return {name: self._split(name) for name in SPLITS}

    def _split(self, name: str) -> Split:
        base = self.folder.base
        files = [base / file for file in self.folder.files[name]]
        stem = data_root(None) / "audio_folder" / f"{base.name}-{name}"
        return cached_sounds(stem, files, self.folder.labels(name), self.format, every=True)

    @cached_property
    def _short(self) -> int:
        files = [self.folder.base / file for name in SPLITS for file in self.folder.files[name]]
        return sum(count_samples(file, self.format.rate) < self.format.length for file in files)


def cached_sounds(
    stem: Path, files: Sequence[Path], labels: np.ndarray | None, form: SoundFormat, every: bool
) -> Split:
    """Cut sound files into examples, memory-mapped; the files are decoded once, and what they make is kept.

    Args:
        stem: what the name of the file they are kept in starts with.
        files: in the order of the examples.
        labels: `(len(files),)`, or None.
        form: of the examples.
        every: take all whole examples of each file, not only the first.

    Raises:
        UserError: a file cannot be read as sound, or the examples cannot be kept.
    """
    key = fingerprint(form, every, None if labels is None else labels.tolist(), [(f.parent, *stamp(f)) for f in files])

    def examples(file: Path) -> np.ndarray:
        return form.examples(read_audio(file, form.rate), every)

    def blocks() -> Blocks:
        from tqdm import tqdm

        with ThreadPoolExecutor() as pool, tqdm(total=len(files), desc=stem.name, unit=" files", disable=None) as bar:
            for start in range(0, len(files), CHUNK):  # a chunk at a time: the pool would run ahead of the disk
                for i, x in enumerate(pool.map(examples, files[start : start + CHUNK]), start):
                    yield x, None if labels is None else np.full(len(x), labels[i])
                    bar.update()

    return cached_split(stem.with_name(f"{stem.name}-{key}.npy"), blocks, f"make room, or set {ENVIRONMENT}")
