"""Text: what is cut where, on which symbols, and what each bad file is told."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.datasets.shakespeare import TinyShakespeare
from ar_lightning.data.download import data_root
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.data.user.text import TextFile
from ar_lightning.inference.codec.content import read_content, restored
from ar_lightning.inference.inputs import read_inputs, read_text
from ar_lightning.inference.prompt import read_prompt
from ar_lightning.media.text import Texts
from tests.support.files import REAL, Server, one_line, real_data

LINES = "Où êtes-vous ?\r\nIci naïve Zoë\n" * 40


def saved(folder: Path, text: str = LINES, name: str = "book.txt") -> str:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return str(path)


def joined(data: TextFile, split: str) -> str:
    x = torch.from_numpy(data.load()[split].x.astype(np.int64))
    return "".join(Texts(data.spec).strings(x))


def error_of(**args: Any) -> str:
    with pytest.raises(UserError) as info:
        TextFile(**args).load()
    return one_line(info)


def test_the_parts_are_the_text_in_its_order_without_what_is_left_over(tmp_path: Path) -> None:
    data = TextFile(path=saved(tmp_path), length=7, valid_fraction=0.2, test_fraction=0.07)
    n = len(LINES)
    test, valid = 84, 240  # of 1200: a fraction of characters is a whole number where it can be one
    assert n == 1200 and data.contiguous
    parts = {"train": LINES[: n - test - valid], "valid": LINES[n - test - valid : n - test], "test": LINES[n - test :]}
    for split, part in parts.items():
        assert joined(data, split) == part[: len(part) // 7 * 7]
    assert "1200 characters" in data.regime and "125/34/12 windows of 7, 1/2/0 left over" in data.regime
    assert "book.txt" in data.regime and "73/20/7 %" in data.regime


def test_the_symbols_are_those_of_the_whole_file_in_order(tmp_path: Path) -> None:
    text = "ab" * 450 + "z" * 50 + "aé" * 25  # z and é never occur in train
    data = TextFile(path=saved(tmp_path, text), length=10)
    assert data.spec == DataSpec((1, 10), 4, medium=Text("abzé"))
    assert "the 4 characters of the whole file" in data.regime
    assert data.load()["train"].x.dtype == np.uint8
    assert DataSpec.from_dict(data.spec.to_dict()) == data.spec


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "any.bin"
    content = np.random.default_rng(0).integers(0, 256, 1000, dtype=np.uint8)
    content.tofile(path)
    data = TextFile(path=str(path), unit="bytes", length=5)
    assert data.spec == DataSpec((1, 5), 256, medium=Text(None))
    assert data.load()["train"].x.ravel().tolist() == content[:800].tolist()
    assert "1000 bytes" in data.regime


MARKED = "\ufeff" + LINES


def test_the_same_bytes_are_the_same_characters_wherever_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A byte order mark is no character, in a text of characters; ends of lines stay as they are."""
    plain, marked = (TextFile(path=saved(tmp_path, text, name), length=1200) for text, name in FILES.items())
    assert plain.spec == marked.spec and "mark" not in plain.regime and "without a byte order mark" in marked.regime
    assert "marked.txt: begins with a byte order mark" in capsys.readouterr().err
    media = Texts(plain.spec)
    assert isinstance(media.symbols, str) and "\r" in media.symbols and "\ufeff" not in media.symbols
    for text, name in FILES.items():
        file = tmp_path / name
        read = read_text(file, media)
        assert media.strings(read[None]) == [LINES] == media.strings(media.levels(text)[0])
        assert torch.equal(
            read_prompt(str(file), DataSpec((1, 9999), plain.spec.levels, medium=plain.spec.medium))[0], read
        )
        assert torch.equal(torch.from_numpy(read_inputs(file, plain.spec).split.x).flatten().long(), read)
        content = read_content(file, plain.spec, conditional=False)
        assert restored(content.fields, content.x, None, plain.spec) == text.encode("utf-8")
    as_bytes = TextFile(path=str(tmp_path / "marked.txt"), unit="bytes", length=5)
    assert f"{len(MARKED.encode())} bytes" in as_bytes.regime and "order mark" not in as_bytes.regime


FILES = {LINES: "plain.txt", MARKED: "marked.txt"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_another_encoding_is_named_as_what_it_is(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(LINES.encode(encoding))
    said = error_of(path=str(path))
    assert f"text in {encoding.upper()}, not in UTF-8" in said and "data.unit=bytes" in said
    with pytest.raises(UserError, match="text in UTF"):
        read_text(path, Texts(DataSpec((1, 8), 3, medium=Text("\r\na"))))


def test_a_prompt_from_a_pipe_is_not_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a pipe or a device"):
        read_prompt(str(tmp_path / "pipe"), DataSpec((1, 400), 256, medium=Text()))
    assert read_prompt("\udcff", DataSpec((1, 400), 256, medium=Text())).tolist() == [[255]]  # as Python reads 0xff


def test_more_than_256_characters_are_kept_apart(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 2
    data = TextFile(path=saved(tmp_path, text), length=20)
    assert data.spec.levels == 300 and joined(data, "train") == text[:480]
    batch, _ = ArrayDataModule(data, batch_size=4).split("train", 4)
    assert batch.dtype == torch.int64


def test_the_bundled_text_needs_no_file() -> None:
    data = TextFile()
    assert data.spec.shape == (1, 128) and "scikit-learn" in data.regime
    assert ".. _breast_cancer_dataset:" in joined(data, "train")[:128]


def test_bad_paths_are_answered_by_the_constructor(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(UserError, match=r"did you mean 'book\.txt'"):
        TextFile(path=str(tmp_path / "bock.txt"))
    with pytest.raises(UserError, match="is a folder"):
        TextFile(path=str(tmp_path))
    with pytest.raises(UserError, match="leave nothing to train on"):
        TextFile(valid_fraction=0.5, test_fraction=0.5)


def test_bad_files_are_answered_in_one_line(tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("naïve".encode("latin-1") * 500)
    assert "byte 2 is 0xef" in error_of(path=str(latin)) and "data.unit=bytes" in error_of(path=str(latin))
    TextFile(path=str(latin), unit="bytes").load()
    for unit in ("characters", "bytes"):
        assert "nothing to model" in error_of(path=saved(tmp_path, "a" * 5000), unit=unit)
        assert "empty" in error_of(path=saved(tmp_path, ""), unit=unit)
    assert "'\\n' over and over" in error_of(path=saved(tmp_path, "\n" * 5000))
    short = error_of(path=saved(tmp_path, "ab" * 500), length=128)
    assert "100 characters of valid" in short and "data.length=128" in short


def test_shakespeare_is_fetched_and_verified(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url, served = server
    content = LINES.encode("utf-8")
    (served / "input.txt").write_bytes(content)
    monkeypatch.setattr(TinyShakespeare, "base_url", url)
    monkeypatch.setattr(TinyShakespeare, "sha256", hashlib.sha256(content).hexdigest())
    data = TinyShakespeare(data_dir=str(tmp_path), length=16)
    assert joined(data, "test") == LINES[1080:1192]
    file = tmp_path / "tinyshakespeare" / "input.txt"
    assert file.read_bytes() == content
    file.write_bytes(content + b"!")
    with pytest.raises(UserError) as info:
        TinyShakespeare(data_dir=str(tmp_path)).load()
    assert "not the published" in one_line(info)


def test_shakespeare_without_a_network_says_where_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyShakespeare, "base_url", "http://127.0.0.1:9/")
    with pytest.raises(UserError) as info:
        TinyShakespeare(data_dir=str(tmp_path)).load()
    assert f"put input.txt from http://127.0.0.1:9/ into {tmp_path / 'tinyshakespeare'}" in one_line(info)


@real_data
def test_the_published_file() -> None:
    data = TinyShakespeare()
    assert data.spec.levels == 65 and "1115394 characters" in data.regime and "85/5/10 %" in data.regime
    assert joined(data, "valid").startswith("First Citizen:\nBefore we proceed any further, hear me speak.")
    text = (data_root(REAL) / "tinyshakespeare" / "input.txt").read_text()
    assert text[-111540:].startswith(joined(data, "test"))


def test_valid_may_come_first(tmp_path: Path) -> None:
    data = TextFile(path=saved(tmp_path), length=7, valid_fraction=0.2, valid_first=True, test_fraction=0.07)
    parts = {"valid": LINES[:240], "train": LINES[240:1116], "test": LINES[1116:]}
    for split, part in parts.items():
        assert joined(data, split) == part[: len(part) // 7 * 7]
    assert "first valid, then train, last test, 73/20/7 %" in data.regime
