"""Read recordings: their amplitudes, resampled, or their length; PyTorch is not imported."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ar_lightning.core.errors import UserError

__all__ = ["count_samples", "read_audio"]


def read_audio(path: Path, rate: int) -> np.ndarray:
    """Read a sound file as `(T,)` float32: the mean of its channels, resampled to `rate`, mostly in [-1, 1].

    The format is one that libsndfile reads, such as wav, flac or ogg; `scipy.signal.resample_poly` resamples.
    """
    import soundfile

    channels, own_rate = _opened(path, lambda: soundfile.read(path, dtype="float32", always_2d=True))
    amplitudes = channels.mean(axis=1)
    if not len(amplitudes):
        raise UserError(f"{path}: holds no sound, 0 samples; replace it or move it away")
    if not np.isfinite(amplitudes).all():
        raise UserError(f"{path}: holds NaN or infinite amplitudes; replace it or move it away")
    if own_rate == rate:
        return amplitudes
    from scipy.signal import resample_poly

    return resample_poly(amplitudes, rate, own_rate).astype(np.float32)


def count_samples(path: Path, rate: int) -> int:
    """Return the number of samples that `read_audio` makes of a file, from its header alone."""
    import soundfile

    info = _opened(path, lambda: soundfile.info(path))
    return ceil(info.frames * rate / info.samplerate)


def _opened(path: Path, read: Callable[[], Any]) -> Any:
    """Open a file with `read`; a `UserError` says what is wrong with it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if _is_cut_off(path):
        raise UserError(f"{path}: shorter than its header says, so a part is missing; replace it or move it away")
    try:
        return read()
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
