"""Spoken digits: the Free Spoken Digit Dataset, and the digits of Speech Commands (SC09)."""

import tarfile
import tempfile
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import PositiveInt
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS, Dataset, Split, Splits
from ar_lightning.data.cache import cached_files
from ar_lightning.data.download import ELSEWHERE, ENVIRONMENT, data_root, obtain
from ar_lightning.data.user.audio_folder import SoundFormat
from ar_lightning.media.recording import read_audio

__all__ = ["SpeechCommandsDigits", "SpokenDigits"]

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RECORDINGS = 50  # of each digit by each speaker
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}


class SpokenDigits(Dataset):
    """3000 recordings of six people saying the ten digits, 8 kHz (Free Spoken Digit Dataset); labels.

    Read from `fsdd/recordings/*.wav` in the folder of the data files. The published test split is recordings 0-4 of
    each digit and speaker; 5-9 are the validation split.

    Source: github.com/Jakobovski/free-spoken-digit-dataset.

    Args:
        length: samples of an example, from the start of a recording; a shorter one ends in silence.
        levels: levels an amplitude is quantised to, 2 to 65536; null for real amplitudes in [-1, 1].
        encoding: how amplitudes lie on the levels: mu_law finer where they are small, linear evenly.
        pad: what follows a recording that is shorter: silence, which is modelled, or none: it ends where it ends.
        labels: what the class is: the digit (10), the speaker (6), or both (60, the digit changing slowest).
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    rate: ClassVar[int] = 8000
    repository: ClassVar[str] = "github.com/Jakobovski/free-spoken-digit-dataset"

    def __init__(
        self,
        *,
        length: PositiveInt = 4096,
        levels: PositiveInt | None = 256,
        encoding: Literal["mu_law", "linear"] = "mu_law",
        pad: Literal["silence", "none"] = "silence",
        labels: Literal["digit", "speaker", "both"] = "digit",
        data_dir: str | None = None,
    ) -> None:
        self.format = SoundFormat(self.rate, length, levels, encoding, ends=pad == "none")
        self.labels = labels
        self.data_dir = data_dir

    @property
    def spec(self) -> DataSpec:
        return self.format.spec(1 + int(self._classes.max()))

    @property
    def regime(self) -> str:
        lengths, length = self._decoded[1], self.format.length
        silent = 1 - np.minimum(lengths, length).mean() / length
        cut = np.mean(lengths > length)
        padded = f"{silent:.1%} of all samples are silence added at ends, {cut:.1%} of recordings are cut"
        if self.format.ends:
            padded = f"{np.mean(lengths >= length):.1%} of recordings are cut"
        split = "official test (recordings 0-4 of each digit and speaker), valid is 5-9, 2400/300/300"
        return f"Free Spoken Digit Dataset, {self.format}, {padded}, {split}"

    def load(self) -> Splits:
        every = Split(self._decoded[0], self._classes)
        number = np.arange(len(every.x)) % RECORDINGS
        return {
            "train": every.at(number >= 10),
            "valid": every.at((number >= 5) & (number < 10)),
            "test": every.at(number < 5),
        }

    @property
    def _classes(self) -> np.ndarray:
        digit, speaker, _ = np.indices((len(WORDS), len(SPEAKERS), RECORDINGS)).reshape(3, -1)
        return {"digit": digit, "speaker": speaker, "both": digit * len(SPEAKERS) + speaker}[self.labels]

    @cached_property
    def _decoded(self) -> tuple[np.ndarray, np.ndarray]:
        """Examples `(3000, 1, T)`, and how many samples each recording has; in a second or so."""
        folder = data_root(self.data_dir) / "fsdd" / "recordings"
        recordings = product(range(len(WORDS)), SPEAKERS, range(RECORDINGS))
        files = [folder / f"{digit}_{speaker}_{i}.wav" for digit, speaker, i in recordings]
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if missing := [file.name for file in files if file.name not in there]:
            what = f"{len(missing)} of {len(files)} recordings are missing, such as {missing[0]}"
            fix = f"put the folder 'recordings' of {self.repository} there"
            raise UserError(f"{folder}: {what}; {fix} ({ELSEWHERE})")
        sounds = [read_audio(file, self.rate).amplitudes for file in files]
        x = np.concatenate([self.format.examples(sound, every=False) for sound in sounds])
        return x, np.array([len(sound) for sound in sounds])


class SpeechCommandsDigits(Dataset):
    """SC09: the digits zero to nine of Speech Commands v0.02, one second each, 16 kHz; labels.

    Read from `speech_commands/<word>/*.wav` in the folder of the data files, where the published archive (2.4 GB) is
    extracted if need be, and what is decoded is kept. The split is that of its two lists. Source: Warden 2018; modelled
    autoregressively by Goel et al. 2022 (SaShiMi).

    Args:
        length: samples of an example, from the start of a recording; a shorter one ends in silence.
        levels: levels an amplitude is quantised to, 2 to 65536; null for real amplitudes in [-1, 1].
        encoding: how amplitudes lie on the levels: mu_law finer where they are small, linear evenly.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    rate: ClassVar[int] = 16000
    base_url: ClassVar[str] = "http://download.tensorflow.org/data/"
    archive: ClassVar[str] = "speech_commands_v0.02.tar.gz"
    sha256: ClassVar[str] = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"

    def __init__(
        self,
        *,
        length: PositiveInt = 16000,
        levels: PositiveInt | None = 256,
        encoding: Literal["mu_law", "linear"] = "mu_law",
        data_dir: str | None = None,
    ) -> None:
        self.format = SoundFormat(self.rate, length, levels, encoding)
        self.data_dir = data_dir

    @property
    def spec(self) -> DataSpec:
        return self.format.spec(len(WORDS))

    @property
    def regime(self) -> str:
        sizes = "/".join(str(len(self._files[name])) for name in SPLITS)
        return f"SC09, {self.format}, shorter recordings end in silence, official split, {sizes}"

    def load(self) -> Splits:
        return {name: self._split(name) for name in SPLITS}

    @property
    def _folder(self) -> Path:
        return data_root(self.data_dir) / "speech_commands"

    def _split(self, name: str) -> Split:
        files = [self._folder / file for file in self._files[name]]
        labels = np.array([WORDS.index(file.parent.name) for file in files], np.int64)
        read = partial(self.format.read, every=False)
        return cached_files(self._folder / "decoded" / name, files, labels, (self.format, False), read)[0]

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """Files of each split, `word/name.wav`."""
        if not all((self._folder / name).exists() for name in (*WORDS, *LISTS.values())):
            known = {self.archive: self.sha256}
            _extract_digits(obtain(known, self.base_url, self._folder, self._folder.parent)[self.archive], self._folder)
        listed = {name: set((self._folder / file).read_text().split()) for name, file in LISTS.items()}
        every = {f"{word}/{path.name}" for word in WORDS for path in (self._folder / word).glob("*.wav")}
        split = {name: sorted(every & listed[name]) for name in LISTS}
        split["train"] = sorted(every - listed["valid"] - listed["test"])
        fix = f"move it to another place, and {self.archive} is extracted again"
        if empty := next((name for name in SPLITS if not split[name]), None):
            raise UserError(f"{self._folder}: no {empty} recordings; {fix}")
        return split


def _extract_digits(archive: Path, folder: Path) -> None:
    """Extract the ten folders of digits and the two lists; each appears in `folder` only when it is whole."""
    wanted = (*WORDS, *LISTS.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as partial, tarfile.open(archive) as tar:
            members = (m for m in tar if (parts := Path(m.name).parts) and parts[0] in wanted)
            tar.extractall(partial, members, filter="data")
            for name in wanted:
                if not (folder / name).exists():
                    (Path(partial) / name).rename(folder / name)
    except OSError as error:
        what = f"cannot extract {archive.name} ({error.strerror or error})"
        raise UserError(what, folder, f"make room, or set {ENVIRONMENT}") from error
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{archive}: damaged ({type(error).__name__}); put the published file in its place") from error
