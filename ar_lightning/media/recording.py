"""Read recordings: their amplitudes, resampled, or their length; PyTorch is not imported."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ar_lightning.core.errors import UserError

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = ["SUFFIXES", "Recording", "count_samples", "read_audio"]

# Of the formats that libsndfile reads, those that people keep recordings in.
SUFFIXES = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64",
    ".rf64",
)  # fmt: skip
BLOCK = 2**20  # values read at a time
LONGEST = 2**30  # samples of a recording: 4 GiB
FARTHEST = 100  # a rate is so many times another, at most
CANCELLED = 0.01  # of the power of the channels, below which little is left of them in their mean


class Recording(NamedTuple):
    """A recording, and what was done to it that changes what is heard."""

    amplitudes: np.ndarray  # `(T,)` float32, mostly in [-1, 1]
    remarks: tuple[str, ...] = ()  # each goes with a number of recordings: "2 with channels that cancel in their mean"


def read_audio(path: Path, rate: int) -> Recording:
    """Read a sound file: the mean of its channels, resampled to `rate`.

    The format is one that libsndfile reads, whatever the name says; `scipy.signal.resample_poly` resamples.
    """
    amplitudes, own_rate, cancelled = _opened(path, lambda file: _mixed(file, path, rate))
    if not len(amplitudes):
        raise UserError(f"{path}: holds no sound, 0 samples; replace it or move it away")
    if not np.isfinite(amplitudes).all():
        raise UserError(f"{path}: holds NaN or infinite amplitudes; replace it or move it away")
    remarks = ("with channels that cancel in their mean",) if cancelled else ()
    if own_rate == rate:
        return Recording(amplitudes, remarks)
    from scipy.signal import resample_poly

    return Recording(resample_poly(amplitudes, rate, own_rate).astype(np.float32), remarks)


def count_samples(path: Path, rate: int) -> int:
    """Return the number of samples that `read_audio` makes of a file, from its header alone."""
    n: int = _opened(path, lambda file: _length(file, path, rate))
    return n


def _mixed(file: "SoundFile", path: Path, rate: int) -> tuple[np.ndarray, int, bool]:
    """Return the mean of the channels `(T,)`, the rate of the file, and whether little is left of the channels."""
    _length(file, path, rate)
    parts, power, left = [np.zeros(0, np.float32)], 0.0, 0.0
    for block in file.blocks(max(1, BLOCK // file.channels), dtype="float32", always_2d=True):
        parts.append(block.mean(axis=1))
        power += float(np.square(block).sum()) / file.channels
        left += float(np.square(parts[-1]).sum())
    return np.concatenate(parts), file.samplerate, left < CANCELLED * power


def _length(file: "SoundFile", path: Path, rate: int) -> int:
    """Return the number of samples at a rate; refuse what its header says could not be read."""
    own = file.samplerate
    if not 1 / FARTHEST <= own / rate <= FARTHEST:
        far = f"{own:,} samples a second, too far from the {rate:,} that are read"
        raise UserError(far, path, "correct its header, or move it away")
    n = ceil(file.frames * rate / own)
    if max(n, file.frames) > LONGEST:
        raise UserError(f"a recording of {max(n, file.frames):,} samples, above {LONGEST:,}", path, "cut it in parts")
    return n


def _opened(path: Path, read: "Callable[[SoundFile], Any]") -> Any:
    """Open a file for `read`; a `UserError` says what is wrong with it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if _is_cut_off(path):
        raise UserError(f"{path}: shorter than its header says, so a part is missing; replace it or move it away")
    try:
        from soundfile import SoundFile

        with SoundFile(path) as file:
            return read(file)
    except UserError:
        raise
    except Exception as error:  # whatever a decoder makes of bytes that can be anything
        reason = str(error).rpartition(": ")[2].strip(" .").splitlines()
        said = reason[0] if reason else type(error).__name__
        raise UserError(f"{path}: not a sound file, or a damaged one ({said}); replace it or move it away") from error


def _is_cut_off(path: Path) -> bool:
    """Return whether a wav file is shorter than its header says, which libsndfile notices in other formats only."""
    with path.open("rb") as file:
        header = file.read(8)
    size = int.from_bytes(header[4:], "little") + len(header)
    streamed = size > 0x7FFF0000  # written by a program that could not know the size
    return header[:4] == b"RIFF" and not streamed and path.stat().st_size < size
