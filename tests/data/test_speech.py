"""Spoken digits: official splits and labels, of stand-ins and of the real files; what is missing is named."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Audio
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.base import SPLITS
from ar_lightning.data.datasets.speech import SPEAKERS, WORDS, SpeechCommandsDigits, SpokenDigits
from tests.support.files import Server, one_line, real_data


def sound(amplitude: float, samples: int, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(samples, amplitude), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture(scope="module")
def fsdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 8 or 16 samples whose amplitude is their number, digit * 300 + speaker * 50 + index, over 4096."""
    root = tmp_path_factory.mktemp("root")
    (root / "fsdd" / "recordings").mkdir(parents=True)
    for n in range(3000):
        name = f"{n // 300}_{SPEAKERS[n // 50 % 6]}_{n % 50}.wav"
        (root / "fsdd" / "recordings" / name).write_bytes(sound(n / 4096, 8 * (1 + n % 2), 8000))
    return root


@pytest.mark.parametrize("labels", ["digit", "speaker", "both"])
def test_spoken_digits_have_the_official_split_and_labels(fsdd: Path, labels: Any) -> None:
    data = SpokenDigits(data_dir=str(fsdd), length=12, levels=None, labels=labels)
    splits = data.load()
    assert data.spec == DataSpec(
        (1, 12), None, {"digit": 10, "speaker": 6, "both": 60}[labels], medium=data.spec.medium
    )
    number = {name: np.rint(4096 * splits[name].x[:, 0, 0]).astype(int) for name in SPLITS}
    assert sorted(np.concatenate([*number.values()])) == list(range(3000))
    assert {name: len(n) for name, n in number.items()} == {"train": 2400, "valid": 300, "test": 300}
    assert set(number["test"] % 50) == set(range(5)) and set(number["valid"] % 50) == set(range(5, 10))
    for name, n in number.items():
        expected = {"digit": n // 300, "speaker": n // 50 % 6, "both": n // 50}[labels]
        assert (splits[name].labels == expected).all() and splits[name].labels.dtype == np.int64  # type: ignore[union-attr]
        np.testing.assert_array_equal((splits[name].x[:, 0] != 0).sum(1)[n > 0], np.where(n % 2, 12, 8)[n > 0])
    # Half of the recordings have 8 of 12 samples, the others more than 12.
    assert "16.7% of all samples are silence added at ends, 50.0% of recordings are cut" in data.regime
    assert data.regime.endswith("2400/300/300") and "12 samples at 8000 Hz, real amplitudes" in data.regime


def test_missing_recordings_are_named_and_where_to_put_them(fsdd: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3000 of 3000 recordings are missing, such as 0_george_0\.wav") as info:
        SpokenDigits(data_dir=str(tmp_path)).load()
    assert SpokenDigits.repository in one_line(info) and str(tmp_path / "fsdd" / "recordings") in str(info.value)
    (tmp_path / "fsdd").mkdir()
    (tmp_path / "fsdd" / "recordings").symlink_to(fsdd / "fsdd" / "recordings")
    assert SpokenDigits(data_dir=str(tmp_path), length=2).load()["test"].x.shape == (300, 1, 2)


@real_data
def test_real_spoken_digits() -> None:
    data = SpokenDigits(labels="both")
    splits = data.load()
    assert data.spec == DataSpec((1, 4096), 256, 60, medium=Audio(8000, "mu_law"))
    assert [splits[name].x.shape for name in SPLITS] == [(n, 1, 4096) for n in (2400, 300, 300)]
    for name, each in zip(SPLITS, (40, 5, 5), strict=True):
        assert np.bincount(splits[name].labels).tolist() == [each] * 60  # type: ignore[arg-type]
    rows = [row.tobytes() for split in splits.values() for row in split.x]
    assert len(set(rows)) > 2990
    assert "20.0% of all samples are silence" in data.regime


def files_of_sc09() -> dict[str, bytes]:
    """Four recordings of each digit and of another word, one of them in each list."""
    words = (*WORDS, "bed")
    files = {
        f"{word}/{i}_nohash_0.wav": sound((4 * w + i) / 64, 10 if i else 16, 16000)
        for w, word in enumerate(words)
        for i in range(4)
    }
    lists = {"validation": 1, "testing": 2}
    texts = {f"{name}_list.txt": "".join(f"{w}/{i}_nohash_0.wav\n" for w in words) for name, i in lists.items()}
    return {**files, **{name: text.encode() for name, text in texts.items()}, "LICENSE": b"CC BY 4.0"}


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def publish(monkeypatch: pytest.MonkeyPatch, content: bytes, base_url: str = "http://127.0.0.1:9/") -> None:
    monkeypatch.setattr(SpeechCommandsDigits, "base_url", base_url)
    monkeypatch.setattr(SpeechCommandsDigits, "sha256", hashlib.sha256(content).hexdigest())


def check_sc09(root: Path) -> None:
    data = SpeechCommandsDigits(data_dir=str(root), length=12, levels=None)
    splits = data.load()
    assert data.spec == DataSpec((1, 12), None, 10, medium=data.spec.medium)
    for name, index in (("train", [0, 3]), ("valid", [1]), ("test", [2])):
        number = np.rint(64 * splits[name].x[:, 0, 0]).astype(int)
        assert sorted(number) == [4 * w + i for w in range(10) for i in index]
        assert splits[name].labels.tolist() == (number // 4).tolist()  # type: ignore[union-attr]
        assert ((splits[name].x[:, 0] != 0).sum(1)[number > 0] == np.where(number % 4, 10, 12)[number > 0]).all()
    assert (
        data.regime == "SC09, 12 samples at 16000 Hz, real amplitudes, shorter recordings end in silence, official "
        "split, 20/10/10"
    )


def test_sc09_from_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, b"")
    for name, content in files_of_sc09().items():
        (tmp_path / "speech_commands" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "speech_commands" / name).write_bytes(content)
    check_sc09(tmp_path)


@pytest.mark.parametrize("where", ["", "speech_commands"])
def test_sc09_from_a_local_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    content = tar_gz(files_of_sc09())
    publish(monkeypatch, content)
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / SpeechCommandsDigits.archive).write_bytes(content)
    check_sc09(tmp_path)
    folder = tmp_path / "speech_commands"
    assert not (folder / "bed").exists() and not list(folder.glob(".*"))


def test_sc09_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    content = tar_gz(files_of_sc09())
    publish(monkeypatch, content, server[0])
    (server[1] / SpeechCommandsDigits.archive).write_bytes(content)
    check_sc09(tmp_path / "root")


def test_without_sc09_the_message_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, b"")
    with pytest.raises(UserError, match=r"put speech_commands_v0\.02\.tar\.gz from") as info:
        SpeechCommandsDigits(data_dir=str(tmp_path)).load()
    assert str(tmp_path / "speech_commands") in one_line(info)


def test_a_damaged_or_incomplete_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, files = tar_gz(files_of_sc09()), files_of_sc09()
    lacking = tar_gz({name: content for name, content in files.items() if not name.startswith("six")})
    for content in (b"no archive", whole[: len(whole) // 2], lacking):
        publish(monkeypatch, content)
        (tmp_path / SpeechCommandsDigits.archive).write_bytes(content)
        with pytest.raises(UserError) as info:
            SpeechCommandsDigits(data_dir=str(tmp_path)).load()
        assert SpeechCommandsDigits.archive in one_line(info)
        assert not list((tmp_path / "speech_commands").glob(".*"))
