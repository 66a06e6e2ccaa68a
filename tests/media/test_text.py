"""Text in and out: nothing is lost on the way, and what cannot go in is named."""

from pathlib import Path

import pytest
import torch

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.text import to_levels, to_text, write_texts

CHARACTERS = DataSpec((1, 8), 5, medium=Text("\r\nabé"))
BYTES = DataSpec((1, 8), 256, medium=Text())


@pytest.mark.parametrize("spec", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize("text", ["", "abé", "é\r\na\r"])
def test_there_and_back(spec: DataSpec, text: str) -> None:
    levels = to_levels(text, spec)
    assert levels.dtype == torch.long and levels.shape[:2] == (1, 1)
    assert to_text(levels, spec) == [text]


def test_bytes_are_utf_8_and_broken_ones_are_shown() -> None:
    assert to_levels("é", BYTES).tolist() == [[[0xC3, 0xA9]]]
    assert to_text(torch.tensor([[[0x61, 0xC3, 0x62]]]), BYTES) == ["a\ufffdb"]


def test_dequantised_text_is_text() -> None:
    spec = CHARACTERS.dequantised()
    levels = to_levels("abé", CHARACTERS)
    assert to_text(2 * (levels + torch.tensor([0.01, 0.5, 0.99])) / 5 - 1, spec) == ["abé"]


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(UserError) as info:
        to_levels("ab\nZ", CHARACTERS)
    assert str(info.value) == "character 4 of the text, 'Z', is none of the 5 that this density was trained on"
    with pytest.raises(ValueError, match="no text"):
        to_levels("a", DataSpec((1, 8), 5))
    with pytest.raises(ValueError, match="no text"):
        to_text(torch.zeros(1, 1, 8), DataSpec((1, 8), 5))


def test_samples_are_written_with_what_was_given_marked(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "final.txt"
    x = torch.cat([to_levels("ab\r\n", CHARACTERS), to_levels("abéa", CHARACTERS)])
    write_texts(x, CHARACTERS, path)
    assert path.read_bytes().decode() == "===== 1 =====\nab\r\n\n\n===== 2 =====\nabéa\n\n"
    write_texts(x, CHARACTERS, path, known=2)
    assert path.read_bytes().decode() == "===== 1 =====\n⟦ab⟧\r\n\n\n===== 2 =====\n⟦ab⟧éa\n\n"
    assert [p.name for p in path.parent.iterdir()] == ["final.txt"]
