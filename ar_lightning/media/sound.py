"""Sound: recordings to listen to, and sheets of waveforms and spectrograms to look at."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from torch import Tensor

from ar_lightning.core.files import written
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media
from ar_lightning.media.mu_law import to_amplitudes
from ar_lightning.media.plots import plain_text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Sounds", "write_wavs"]

ROWS = 8  # examples on a sheet
WAVS = 8  # recordings written of a batch
WINDOW = 0.032  # seconds of a window of the spectrogram: about two periods of a low voice
RANGE = 70  # decibels between the loudest and what is drawn black
QUIET = -80  # decibels of the quietest sound that is drawn as loud as others: silence stays black
KNOWN = (1.0, 0.78, 0.47)  # colour behind what a model was told


class Sounds(Media):
    """Recordings of one channel `(N, 1, T)`: levels, levels with noise, or amplitudes."""

    name = "audio"
    unit = "samples"
    shift_invariant = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec.medium, Audio)
        self.rate, self.encoding = spec.medium.rate, spec.medium.encoding

    def amplitudes(self, x: Tensor) -> np.ndarray:
        """Return the amplitudes `(N, T)`, float64 in [-1, 1], of examples `(N, 1, T)`; 0 where one has ended."""
        levels = self.spec.values or self.spec.quantised
        values = self.without_noise(x.detach().cpu().double()).numpy()[:, 0]
        if levels is None:
            return values.clip(-1, 1)
        amplitudes = to_amplitudes(values.clip(max=levels - 1), levels, self.encoding)
        return amplitudes if self.spec.end is None else np.where(values == self.spec.end, 0.0, amplitudes)

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write a sheet of the first samples, `STEM.png`, and recordings `STEM-0.wav`, `STEM-1.wav` .. of them."""
        sheet = stem.with_name(f"{stem.name}.png")
        with written(sheet) as partial:
            self.draw_sheet(x, partial, known)
        return {"samples": sheet, "samples, sound": self.write_wavs(x[:WAVS], stem)[0]}

    def show(self, x: Tensor, columns: int = 0) -> "Image":
        """Return a sheet as a picture."""
        from PIL import Image

        content = BytesIO()
        self.draw_sheet(x, content)
        return Image.open(content)

    def write_wavs(self, x: Tensor, stem: Path) -> list[Path]:
        """Write examples `(N, 1, T)` as `STEM-0.wav`, `STEM-1.wav` .. of 16 bits, each in one step, to their ends."""
        ends = self.spec.dims - x[:, 0].eq(self.spec.end).sum(1) if self.spec.end is not None else [x.shape[2]] * len(x)
        sounds = [example[: int(end)] for example, end in zip(self.amplitudes(x), ends, strict=True)]
        return write_wavs(sounds, self.rate, stem)

    @plain_text()
    def draw_sheet(self, x: Tensor, file: Path | IO[bytes], known: int = 0) -> None:
        """Draw up to 8 examples, what was known shaded: waveform and spectrogram, each scaled to its own loudest."""
        from matplotlib.figure import Figure

        rate, sounds = self.rate, self.amplitudes(x[:ROWS])
        seconds, told = sounds.shape[1] / rate, known / rate
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
                left.axvspan(0, told, color=KNOWN, zorder=0)
                right.axvspan(0, told, color=KNOWN, alpha=0.2)
                right.axvline(told, color=KNOWN)
        for axis, title in zip(axes[0], ("amplitude", "frequency in kHz"), strict=True):
            axis.set_title(title)
        for axis in axes[-1]:
            axis.set_xlabel("seconds")
        figure.savefig(file, format="png", dpi=100)


def write_wavs(sounds: Sequence[np.ndarray], rate: int, stem: Path) -> list[Path]:
    """Write amplitudes `(samples,)` each as `STEM-0.wav`, `STEM-1.wav` .. of 16 bits; none is a sample of silence."""
    from scipy.io import wavfile

    digits = len(str(len(sounds) - 1))
    paths = [stem.with_name(f"{stem.name}-{i:0{digits}}.wav") for i in range(len(sounds))]
    for path, sound in zip(paths, sounds, strict=True):
        with written(path) as partial:
            wavfile.write(partial, rate, np.rint((sound if len(sound) else np.zeros(1)) * 32767).astype("<i2"))
    return paths


def _decibels(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the power `(frequencies, times)` in windows centred on the first sample to the last, in decibels."""
    longest = min(rate * WINDOW, len(sound) / 4)
    window = max(4, 2 ** int(np.log2(longest)))
    padded = np.pad(sound, window // 2, mode="reflect")  # silence outside would be heard as a click
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(window))).T / window + 1e-7)
