"""Text in and out: nothing is lost on the way, and what cannot go in is named."""

from pathlib import Path

import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.text import Texts

CHARACTERS = DataSpec((1, 8), 5, medium=Text("\r\nabé"))
BYTES = DataSpec((1, 8), 256, medium=Text())


@pytest.mark.parametrize("spec", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize("text", ["", "abé", "é\r\na\r"])
def test_there_and_back(spec: DataSpec, text: str) -> None:
    levels = Texts(spec).levels(text)
    assert levels.dtype == torch.long and levels.shape[:2] == (1, 1)
    assert Texts(spec).strings(levels) == [text]


def test_bytes_are_utf_8_and_broken_ones_are_shown() -> None:
    assert Texts(BYTES).levels("é").tolist() == [[[0xC3, 0xA9]]]
    assert Texts(BYTES).strings(torch.tensor([[[0x61, 0xC3, 0x62]]])) == ["a\ufffdb"]


def test_dequantised_text_is_text() -> None:
    spec = CHARACTERS.dequantised()
    levels = Texts(CHARACTERS).levels("abé")
    assert Texts(spec).strings(2 * (levels + torch.tensor([0.01, 0.5, 0.99])) / 5 - 1) == ["abé"]


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(UserError) as info:
        Texts(CHARACTERS).levels("ab\nZ")
    assert str(info.value) == "character 4 of the text, 'Z', is none of the 5 that this density was trained on"
    with pytest.raises(UserError, match="byte 1"):
        Texts(CHARACTERS).levels(b"a\xff")


def test_samples_are_written_with_what_was_given_marked(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "final.txt"
    x = torch.cat([Texts(CHARACTERS).levels("ab\r\n"), Texts(CHARACTERS).levels("abéa")])
    Texts(CHARACTERS).write_samples(x, path.with_suffix(""))
    assert path.read_bytes().decode() == "===== 1 =====\nab\r\n\n\n===== 2 =====\nabéa\n\n"
    Texts(CHARACTERS).write_samples(x, path.with_suffix(""), known=2)
    assert path.read_bytes().decode() == "===== 1 =====\n⟦ab⟧\r\n\n\n===== 2 =====\n⟦ab⟧éa\n\n"
    assert [p.name for p in path.parent.iterdir()] == ["final.txt"]
