"""Piano rolls as pictures and as sound."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from ar_lightning.core.medium import Roll
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.choose import media_of
from ar_lightning.media.images import BACKGROUND, UNKNOWN
from ar_lightning.media.roll import CELL, SOUND, synthesised

KEYS = DataSpec((4, 5), 2, medium=Roll(4.0, 69), ends=True)
X = torch.tensor([
    [[0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]],
    [[1, 1, 1, 1, 1], *[[0, 0, 0, 0, 0]] * 3],
])  # fmt: skip


def test_a_sheet_has_the_highest_key_on_top_and_grey_after_an_end() -> None:
    sheet = np.asarray(media_of(KEYS).show(X))[::CELL, ::CELL]
    assert sheet.shape == (8, 5, 3)
    assert (sheet[:3, :3, 0] == [[255, 255, 0], [255, 255, 255], [0, 0, 255]]).all()
    assert (sheet[:3, 3:] == BACKGROUND).all() and (sheet[3:] == BACKGROUND).all()


def test_files_of_samples_and_completions(tmp_path: Path) -> None:
    media = media_of(KEYS)
    files = media.write_samples(X, tmp_path / "s")
    assert set(files) == {"samples", "samples, sound"}
    assert [len(wavfile.read(tmp_path / f"s-{i}.wav")[1]) for i in range(2)] == [3 * SOUND // 4, 1]
    masks = (torch.arange(5) < 2).expand(1, 4, 5)
    completed = media.write_completions(X, masks, X[:, None, None], tmp_path / "c")
    assert set(completed) == {"completions", "completions, sound"}
    from PIL import Image

    told = (np.asarray(Image.open(tmp_path / "c.png"))[::CELL, ::CELL] == UNKNOWN).all(2)
    assert told[:3].any(0).tolist() == [True, True, False, False, False]


def test_channels_that_are_no_keys_have_no_sound(tmp_path: Path) -> None:
    media = media_of(DataSpec((3, 5), 2, medium=Roll(1.0)))
    assert set(media.write_samples(X[:, 1:], tmp_path / "s")) == {"samples"}


@pytest.mark.parametrize("ends", [True, False])
def test_real_channels_are_lines(ends: bool, tmp_path: Path) -> None:
    media = media_of(DataSpec((4, 5), None, medium=Roll(1.0), ends=ends))
    x = X.double() * torch.tensor([1.0, -2.0, 0.5, 3.0])[:, None]
    assert [frames.shape for frames in media.frames(x)] == ([(3, 3), (3, 0)] if ends else [(4, 5)] * 2)
    assert set(media.write_samples(x, tmp_path / "s")) == {"samples"}
    masks = (torch.arange(5) < 2).expand(1, 4, 5)
    assert set(media.write_completions(x, masks, x[:, None, None], tmp_path / "c")) == {"completions"}
    assert media.show(x).width == 1000


@pytest.mark.parametrize("key", [0, 12])
def test_a_key_sounds_at_its_pitch_while_it_is_held(key: int) -> None:
    frames = np.zeros((13, 6), np.uint8)
    frames[key, 1:5] = 1
    sound = synthesised(frames, 4.0, 69)
    assert not sound[: SOUND // 4].any() and not sound[-SOUND // 4 :].any()
    held = sound[SOUND // 4 : -SOUND // 4]  # one second
    assert np.abs(np.fft.rfft(held)).argmax() == 440 * 2 ** (key // 12)
    assert 0 < np.abs(sound).max() <= 1
