"""Sound as files: recordings to listen to, and sheets of waveforms and spectrograms to look at."""

import wave
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.mu_law import decode

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["amplitudes", "count_samples", "read_audio", "sound_sheet_png", "write_wavs"]

ROWS = 8  # examples on a sheet
WINDOW = 0.032  # seconds of a window of the spectrogram: about two periods of a low voice
RANGE = 70  # decibels between the loudest and what is drawn black
QUIET = -80  # decibels of the quietest sound that is drawn as loud as others: silence stays black
GIVEN = (1.0, 0.78, 0.47)  # colour behind what a model was given


def amplitudes(x: "Tensor", spec: DataSpec) -> np.ndarray:
    """Return the amplitudes `(N, T)`, float64 in [-1, 1], of examples `(N, 1, T)` of sound.

    Args:
        x: levels, levels that noise was added to, or amplitudes, as `spec` says.
        spec: of the data.

    Raises:
        ValueError: the data is no sound.
    """
    medium = _sound(spec)
    values = x.detach().cpu().double().numpy()[:, 0]
    if spec.levels is not None:
        return decode(values, spec.levels, medium.encoding)
    if spec.quantised:
        level = np.floor((values + 1) / 2 * spec.quantised).clip(0, spec.quantised - 1)
        return decode(level, spec.quantised, medium.encoding)
    return values.clip(-1, 1)


def read_audio(path: Path, rate: int) -> np.ndarray:
    """Read a sound file as `(T,)` float32: the mean of its channels, resampled, mostly in [-1, 1].

    Args:
        path: a wav, flac or ogg file, or of another format that libsndfile reads.
        rate: samples a second that it is resampled to, by `scipy.signal.resample_poly`.

    Raises:
        UserError: there is no such file, it holds no sound, is damaged, or holds NaN.
    """
    import soundfile

    channels, own_rate = _opened(path, lambda: soundfile.read(path, dtype="float32", always_2d=True))
    amplitudes = channels.mean(axis=1)
    if not len(amplitudes):
        raise UserError(f"{path}: holds no sound, 0 samples; replace or remove it")
    if not np.isfinite(amplitudes).all():
        raise UserError(f"{path}: holds NaN or infinite amplitudes; replace or remove it")
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
        raise UserError(f"{path}: shorter than its header says, so a part is missing; replace or remove it")
    try:
        return read()
    except Exception as error:  # whatever a decoder makes of bytes that can be anything
        reason = str(error).rpartition(": ")[2].strip(" .").splitlines()
        said = reason[0] if reason else type(error).__name__
        raise UserError(f"{path}: not a sound file, or a damaged one ({said}); replace or remove it") from error


def _is_cut_off(path: Path) -> bool:
    """Return whether a wav file is shorter than its header says, which libsndfile notices in other formats only."""
    with path.open("rb") as file:
        header = file.read(8)
    size = int.from_bytes(header[4:], "little") + len(header)
    streamed = size > 0x7FFF0000  # written by a program that could not know the size
    return header[:4] == b"RIFF" and not streamed and path.stat().st_size < size


def write_wavs(x: "Tensor", spec: DataSpec, stem: Path) -> list[Path]:
    """Write examples `(N, 1, T)` of sound as `STEM-0.wav`, `STEM-1.wav` .. of 16 bits, each in one step."""
    rate = _sound(spec).rate
    digits = len(str(len(x) - 1))
    paths = []
    for i, example in enumerate(amplitudes(x, spec)):
        path = stem.with_name(f"{stem.name}-{i:0{digits}}.wav")
        with written(path) as partial, wave.open(str(partial), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.rint(example * 32767).astype("<i2").tobytes())
        paths.append(path)
    return paths


def sound_sheet_png(x: "Tensor", spec: DataSpec, path: Path, known: int = 0) -> None:
    """Draw up to 8 examples `(N, 1, T)` of sound, a row each: waveform and spectrogram, each up to its own loudest.

    Args:
        x: examples.
        spec: of the data.
        path: of the picture, which is written in one step.
        known: number of samples from the start that a model was given; they are shaded.
    """
    from matplotlib.figure import Figure

    rate = _sound(spec).rate
    sounds = amplitudes(x[:ROWS], spec)
    seconds, given = sounds.shape[1] / rate, known / rate
    figure = Figure(figsize=(10, 0.8 + 1.15 * len(sounds)), layout="constrained")
    axes = figure.subplots(len(sounds), 2, sharex=True, squeeze=False)
    for (left, right), sound in zip(axes, sounds, strict=True):
        peak = max(np.abs(sound).max(), 0.01)
        left.plot(np.arange(len(sound)) / rate, sound, linewidth=0.6, color="black")
        left.set(xlim=(0, seconds), ylim=(-1.05 * peak, 1.05 * peak), yticks=(-peak, 0, peak))
        left.yaxis.set_major_formatter("{x:.2g}")
        power = _decibels(sound, rate)
        loudest = max(power.max(), QUIET)
        box, shades = (0, seconds, 0, rate / 2000), {"vmin": loudest - RANGE, "vmax": loudest, "cmap": "magma"}
        right.imshow(power, aspect="auto", origin="lower", extent=box, **shades)
        if known:
            left.axvspan(0, given, color=GIVEN, zorder=0)
            right.axvspan(0, given, color=GIVEN, alpha=0.2)
            right.axvline(given, color=GIVEN)
    for axis, title in zip(axes[0], ("amplitude", "frequency in kHz"), strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    with written(path) as partial:
        figure.savefig(partial, format="png", dpi=100)


def _decibels(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the power `(frequencies, times)` in windows centred on the first sample to the last, in decibels."""
    longest = min(rate * WINDOW, len(sound) / 4)
    window = max(4, 2 ** int(np.log2(longest)))
    padded = np.pad(sound, window // 2, mode="reflect")  # silence outside would be heard as a click
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(window))).T / window + 1e-7)


def _sound(spec: DataSpec) -> Audio:
    if not isinstance(spec.medium, Audio):
        raise ValueError(f"{spec} is no sound")
    return spec.medium
