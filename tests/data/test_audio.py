"""Sound files: how they are read, resampled and cut, how folders of them are split, and what each mistake is told."""

import os
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data import download
from ar_lightning.data.base import SPLITS
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.audio_folder import AudioFolder, SoundFormat, read_audio
from ar_lightning.media.mu_law import to_amplitudes
from ar_lightning.media.recording import count_samples
from tests.support.files import one_line


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is decoded is kept."""
    monkeypatch.setenv(download.ENVIRONMENT, str(tmp_path / "kept"))
    return tmp_path / "kept" / "audio_folder"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def tone(frequency: float, rate: int, seconds: float = 1) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def put(folder: Path, *names: str, samples: int = 8, rate: int = 8000) -> None:
    """Recordings of one amplitude, which tells them apart: 0, 1/256, 2/256 .."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.full(samples, i / 256), rate, subtype="PCM_16")


def made(folder: Path, **args: Any) -> AudioFolder:
    return AudioFolder(path=str(folder), **{"rate": 8000, "length": 8, "levels": None, **args})


def numbers(data: AudioFolder) -> list[list[int]]:
    """Which recording each example comes from, by split."""
    return [np.rint(256 * data.load()[split].x[:, 0, 0]).astype(int).tolist() for split in SPLITS]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("own_rate", [8000, 16000, 44100])
def test_resampling_keeps_pitch_loudness_and_duration(folder: Path, suffix: str, own_rate: int) -> None:
    path = folder / f"a.{suffix}"
    soundfile.write(path, tone(440, own_rate), own_rate)
    sound, remarks = read_audio(path, 16000)
    assert sound.dtype == np.float32 and len(sound) == 16000 and not remarks
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert spectrum.argmax() == 440
    assert np.abs(sound[100:-100]).max() == pytest.approx(0.5, abs=0.02)


def test_what_is_too_high_for_the_rate_is_filtered_out(folder: Path) -> None:
    soundfile.write(folder / "a.wav", tone(6000, 32000), 32000)
    assert np.abs(read_audio(folder / "a.wav", 8000).amplitudes[100:-100]).max() < 0.01


def test_16_bits_come_as_they_are_and_channels_as_their_mean(folder: Path) -> None:
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (50, 2)).astype(np.int16)
    soundfile.write(folder / "a.wav", x, 8000)
    np.testing.assert_array_equal(read_audio(folder / "a.wav", 8000).amplitudes, (x / 2**15).mean(1).astype(np.float32))


def test_recordings_are_cut_into_whole_examples_that_follow_each_other(folder: Path) -> None:
    x = np.arange(20) / 64
    for name, n in (("a", 20), ("b", 8), ("c", 16), ("d", 7), ("e", 3)):
        soundfile.write(folder / f"{name}.wav", x[:n], 8000)
    data = made(folder, split_seed=1)
    splits = data.load()
    rows = sorted((64 * row[0]).astype(int).tolist() for split in splits.values() for row in split.x)
    first, second = list(range(8)), list(range(8, 16))
    assert rows == sorted([first, second, first, first, second, [*range(7), 0], [0, 1, 2, 0, 0, 0, 0, 0]])
    assert "of 3/1/1 files, 2 of which are shorter and end in silence" in data.regime


@pytest.mark.parametrize("encoding", ["mu_law", "linear"])
@pytest.mark.parametrize("levels", [256, 1024, None])
def test_values_are_what_the_spec_says(folder: Path, levels: int | None, encoding: Any) -> None:
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", tone(440, 8000, 0.01), 8000)
    data = made(folder, length=80, levels=levels, encoding=encoding)
    x = data.load()["test"].x
    assert data.spec == DataSpec((1, 80), levels, medium=Audio(8000, encoding if levels else "linear"))
    assert x.shape == (1, 1, 80) and x.dtype == {256: np.uint8, 1024: np.int32, None: np.float32}[levels]
    back = to_amplitudes(x, levels, encoding) if levels else x
    assert np.abs(back[0, 0] - tone(440, 8000, 0.01)).max() < (0.02 if levels else 1e-4)
    batch = ArrayDataModule(data).split("test")[0]
    assert batch.dtype == (torch.int64 if levels else torch.float32)


def test_missing_splits_are_held_out_by_file(folder: Path) -> None:
    put(folder, *(f"{i:02}.wav" for i in range(30)), samples=24)
    data = made(folder)
    parts = numbers(data)
    assert [len(part) for part in parts] == [72, 9, 9]
    assert [len(set(part)) for part in parts] == [24, 3, 3] and set(chain(*parts)) == set(range(30))
    assert numbers(made(folder)) == parts != numbers(made(folder, split_seed=1))
    expected = "mine, 8 samples at 8000 Hz, real amplitudes, valid and test held out of train with seed 0"
    assert data.regime == f"{expected}, 72/9/9 examples of 24/3/3 files, 0 of which are shorter and end in silence"


def test_folders_of_splits_and_classes_are_kept(folder: Path) -> None:
    names = [f"{split}/{name}/{i}.flac" for split in ("train", "val", "test") for name in ("b", "a") for i in range(2)]
    put(folder, *names, "other/x.wav", "x.wav", samples=16)
    data = made(folder)
    assert data.spec.classes == 2 and not data.folder.path.joinpath("kept").exists()
    assert [sorted(set(part)) for part in numbers(data)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    for split in data.load().values():
        number = np.rint(256 * split.x[:, 0, 0]).astype(int)
        assert split.labels is not None and split.labels.dtype == np.int64
        assert split.labels.tolist() == [(1, 1, 0, 0)[i % 4] for i in number]


def test_spec_reads_no_file(folder: Path) -> None:
    for name in ("a/1.wav", "b/1.wav", "b/2.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no sound")
    assert made(folder).spec.classes == 2


def test_what_is_decoded_is_kept_until_a_file_changes(folder: Path, kept: Path, monkeypatch: Any) -> None:
    put(folder, *(f"{i}.wav" for i in range(5)))
    first = numbers(made(folder))
    assert all(isinstance(split.x, np.memmap) for split in made(folder).load().values())
    with monkeypatch.context() as patch:
        patch.setattr("ar_lightning.data.user.audio_folder.read_audio", None)
        assert numbers(made(folder)) == first
        with pytest.raises(TypeError):
            made(folder, levels=16).load()
    put(folder, *["2.wav"] * 78)
    os.utime(folder / "2.wav", ns=(0, 5))
    assert 77 in chain(*numbers(made(folder)))
    assert not list(kept.glob(".*"))


def test_silence_is_sound(folder: Path) -> None:
    put(folder, "a.wav")
    for name in "bc":
        soundfile.write(folder / f"{name}.wav", np.zeros(16), 8000)
    assert made(folder, levels=256).load()["train"].x.shape[1:] == (1, 8)


def error_of(folder: Path, **args: Any) -> str:
    with pytest.raises(UserError) as info:
        made(folder, **args).load()
    return one_line(info)


def test_bad_paths_and_folders_are_answered_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"give data\.path=my_recordings"):
        AudioFolder()
    assert "did you mean 'mine'" in error_of(tmp_path / "mime")
    assert f"{folder}: no recordings (.wav, .wave, .flac," in error_of(folder)
    put(folder, "a.wav", "b.wav")
    assert "is a file, not a folder of recordings" in error_of(folder / "a.wav")
    assert "2 training examples are too few" in error_of(folder)
    (folder / "test").mkdir()
    assert "a folder 'test' but no 'train'" in error_of(folder)


@pytest.mark.parametrize("levels", [1, 65537])
def test_impossible_levels_are_answered_by_the_constructor(folder: Path, levels: int) -> None:
    assert f"data.levels={levels}: sound has 2 to 65536 levels" in error_of(folder, levels=levels)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "header", "dangling"])
def test_an_unreadable_file_is_named(folder: Path, kept: Path, kind: str, suffix: str) -> None:
    for i in range(5):
        soundfile.write(folder / f"{i}.{suffix}", tone(440, 8000), 8000)
    path = folder / f"3.{suffix}"
    whole = path.read_bytes()
    path.unlink()
    if kind == "dangling":
        path.symlink_to(folder / "nowhere")
    else:
        path.write_bytes(
            {"text": b"hello", "empty": b"", "truncated": whole[: len(whole) // 2], "header": whole[:40]}[kind]
        )
    assert str(path) in error_of(folder)
    assert not list(kept.glob(".*")) if kept.is_dir() else True


def test_files_without_amplitudes_are_refused(folder: Path) -> None:
    path = folder / "a.wav"
    soundfile.write(path, np.zeros(0), 8000)
    with pytest.raises(UserError, match="holds no sound") as info:
        read_audio(path, 8000)
    one_line(info)
    soundfile.write(path, np.array([0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(UserError, match="holds NaN"):
        read_audio(path, 8000)
    with pytest.raises(UserError, match="no such file"):
        read_audio(folder / "b.wav", 8000)


def test_a_wav_of_unknown_length_is_read_to_its_end(folder: Path) -> None:
    path = folder / "a.wav"
    soundfile.write(path, tone(440, 8000), 8000)
    streamed = bytearray(path.read_bytes())
    streamed[4:8] = streamed[40:44] = b"\xff" * 4  # as programs write that cannot go back
    path.write_bytes(streamed)
    assert len(read_audio(path, 8000).amplitudes) == 8000


def test_a_folder_that_cannot_keep_them(folder: Path, kept: Path) -> None:
    put(folder, *(f"{i}.wav" for i in range(5)))
    kept.parent.touch()
    assert "cannot be written" in (message := error_of(folder)) and download.ENVIRONMENT in message


def test_formats_read_well() -> None:
    assert str(SoundFormat(8000, 16, 256, "mu_law")) == "16 samples at 8000 Hz, 256 mu-law levels"


def test_channels_that_cancel_are_said(folder: Path) -> None:
    sound = tone(440, 8000)
    for name, other in {"opposite": -sound, "almost": -0.95 * sound, "same": sound, "silent": 0 * sound}.items():
        soundfile.write(folder / f"{name}.wav", np.stack([sound, other], 1), 8000)
        cancel = read_audio(folder / f"{name}.wav", 8000).remarks == ("with channels that cancel in their mean",)
        assert cancel == (name in ("opposite", "almost"))
    assert made(folder).regime.endswith("2 with channels that cancel in their mean")


def test_rates_far_from_what_is_read_are_refused(folder: Path) -> None:
    for rate, far in ((1, True), (79, True), (80, False), (800_000, False), (2**31 - 1, True)):
        soundfile.write(folder / "a.wav", np.zeros(8), 8000)
        content = bytearray((folder / "a.wav").read_bytes())
        content[24:28] = rate.to_bytes(4, "little")
        (folder / "a.wav").write_bytes(content)
        if far:
            with pytest.raises(UserError, match=rf"a\.wav: {rate:,} samples a second, too far from the 8,000"):
                read_audio(folder / "a.wav", 8000)
        else:
            read_audio(folder / "a.wav", 8000)


def test_a_header_of_more_than_fits_in_memory_is_refused(folder: Path) -> None:
    soundfile.write(folder / "a.flac", np.zeros(5000), 8000)
    content = bytearray((folder / "a.flac").read_bytes())
    content[21:26] = bytes([content[21] | 0x0F, 255, 255, 255, 255])  # 36 bits: the number of samples
    (folder / "a.flac").write_bytes(content)
    for read in (read_audio, count_samples):
        with pytest.raises(UserError, match=r"a\.flac: a recording of 68,719,476,735 samples, above 1,073,741,824"):
            read(folder / "a.flac", 8000)


def test_recordings_may_end_where_they_end(folder: Path) -> None:
    """The end is a level of its own; a longer recording is cut, which the regime says."""
    for i, samples in enumerate((3, 8, 5, 12)):
        put(folder, *(f"train/{i}{k}.wav" for k in range(5)), samples=samples)
    data = made(folder, levels=16, pad="none")
    assert data.spec == DataSpec((1, 8), 17, medium=Audio(8000), ends=True)
    x = np.concatenate([part.x for part in data.load().values()])[:, 0]
    assert sorted((x != 16).sum(1).tolist()) == [3] * 5 + [5] * 5 + [8] * 10
    assert "16/2/2 recordings, 10 of which are cut" in data.regime
    with pytest.raises(UserError, match=r"data\.pad=none: real amplitudes have no level for an end"):
        made(folder, pad="none")
