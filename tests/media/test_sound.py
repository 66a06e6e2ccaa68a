"""Sounds as files: what is heard is what the values say, and sheets show it."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.mu_law import to_amplitudes
from ar_lightning.media.sound import KNOWN, Sounds
from tests.support.marks import slow_but


@pytest.mark.parametrize("encoding", ["mu_law", "linear"])
def test_levels_noisy_levels_and_real_values_are_the_same_sound(encoding: str) -> None:
    spec = DataSpec((1, 256), 256, medium=Audio(8000, encoding))  # type: ignore[arg-type]
    levels = torch.arange(256).view(1, 1, 256)
    expected = to_amplitudes(np.arange(256), 256, encoding)[None]  # type: ignore[arg-type]
    np.testing.assert_array_equal(Sounds(spec).amplitudes(levels), expected)
    for u in (0.0, 0.5, 0.999):
        noisy = 2 * (levels.double() + u) / 256 - 1
        np.testing.assert_array_equal(Sounds(spec.dequantised()).amplitudes(noisy), expected)
    real = DataSpec((1, 256), None, medium=Audio(8000, "linear"))
    np.testing.assert_array_equal(Sounds(real).amplitudes(torch.from_numpy(expected)[:, None]), expected)


def test_values_beyond_the_ends_are_clipped() -> None:
    loud = torch.tensor([[[-2.0, 1.0, 5.0]]])
    real = DataSpec((1, 3), None, medium=Audio(8000, "linear"))
    noisy = DataSpec((1, 3), 16, medium=Audio(8000, "linear")).dequantised()
    assert Sounds(real).amplitudes(loud).tolist() == Sounds(noisy).amplitudes(loud).tolist() == [[-1, 1, 1]]


def test_wavs_hold_every_example_in_16_bits(tmp_path: Path) -> None:
    spec = DataSpec((1, 100), None, medium=Audio(11025, "linear"))
    x = torch.rand(11, 1, 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[0, 0, :3] = torch.tensor([-1.0, 0.0, 1.0])
    paths = Sounds(spec).write_wavs(x, tmp_path / "new" / "epoch-1")
    assert [path.name for path in paths] == [f"epoch-1-{i:02}.wav" for i in range(11)]
    for path, example in zip(paths, x[:, 0], strict=True):
        with wave.open(str(path)) as file:
            assert file.getparams()[:4] == (1, 2, 11025, 100)
            pcm = np.frombuffer(file.readframes(100), "<i2")
        assert np.abs(pcm / 32767 - example.numpy()).max() <= 0.5001 / 32767
    assert np.frombuffer(paths[0].read_bytes()[44:50], "<i2").tolist() == [-32767, 0, 32767]
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("sizes", slow_but([(3, 300, 100)], [(1, 1, 0), (2, 3, 1), (3, 300, 100), (9, 4000, 0)]))
@pytest.mark.parametrize("silent", [False, True])
def test_sheets_are_drawn_of_any_length_and_number(tmp_path: Path, sizes: tuple[int, int, int], silent: bool) -> None:
    n, length, known = sizes
    spec = DataSpec((1, length), 256, medium=Audio(8000))
    x = torch.randint(0, 256, (n, 1, length), generator=torch.Generator().manual_seed(0))
    Sounds(spec).write_samples(x * 0 + 128 if silent else x, tmp_path / "new" / "sheet", known=known)
    with Image.open(tmp_path / "new" / "sheet.png") as image:
        assert image.width == 1000 and image.height == round(100 * (0.8 + 1.15 * min(n, 8)))
        pixels = np.asarray(image.convert("RGB")).astype(int)
    shade = np.rint(255 * np.array(KNOWN)).astype(int)
    shaded = (np.abs(pixels[:, :500] - shade).max(-1) <= 1).any(0).sum()  # columns of the waveforms
    assert shaded == pytest.approx(450 * known / length, abs=25) if known else shaded == 0
    assert not list(tmp_path.rglob("*.partial"))


def test_a_tone_is_a_line_at_its_frequency(tmp_path: Path) -> None:
    rate, length = 8000, 4000
    spec = DataSpec((1, length), None, medium=Audio(rate, "linear"))
    tones = torch.sin(2 * torch.pi * torch.tensor([[1000.0], [3000.0]]) * torch.arange(length) / rate)
    Sounds(spec).write_samples(tones[:, None], tmp_path / "sheet")
    with Image.open(tmp_path / "sheet.png") as image:
        light = np.asarray(image.convert("L")).astype(int)[:, 700:900].mean(1)
    panels = np.split(light, [image.height // 2])
    dark = [np.flatnonzero(panel < 60) for panel in panels]  # inside a spectrogram: little but the line is light
    bright = [rows[0] + panel[rows[0] : rows[-1]].argmax() for panel, rows in zip(panels, dark, strict=True)]
    heights = [(rows[-1] - line) / (rows[-1] - rows[0]) for rows, line in zip(dark, bright, strict=True)]
    assert heights == pytest.approx([0.25, 0.75], abs=0.06)
