"""Text by byte pairs: any text comes back, tokens are those of the training split, and bits/character are counted."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ar_lightning.config.checks import check_config
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.user.text import TextFile
from ar_lightning.inference.codec.content import extent, read_content, restored
from ar_lightning.inference.prompt import read_prompt
from ar_lightning.media import byte_pairs
from ar_lightning.media.byte_pairs import beginnings, learned_from
from ar_lightning.media.text import Texts, bits_per_character
from ar_lightning.training.checkpoints import load
from tests.support.commands import QUICK, result, run_here
from tests.support.files import one_line

LINES = "Où êtes-vous ?\r\nIci naïve Zoë, the cat sat on the mat.\n" * 40
TEXTS = ["", LINES, "日本語 😀 \u2028\x00\x85", "  two  spaces\r\n\r\n\tand tabs ", "<unk>[MASK]</s>Ġ"]
TOKENIZER = learned_from(LINES, 300)
SPEC = DataSpec((1, 8), 300, medium=Text(None, TOKENIZER))


def saved(folder: Path, text: str = LINES) -> str:
    path = folder / "book.txt"
    path.write_bytes(text.encode("utf-8"))
    return str(path)


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_any_text_comes_back_and_each_character_begins_in_one_token(text: str, tmp_path: Path) -> None:
    media = Texts(SPEC)
    levels = media.levels(text)
    assert media.strings(levels) == [text]
    assert beginnings(TOKENIZER)[levels.numpy()].sum() == len(text)
    assert torch.equal(media.levels(text.encode("utf-8")), levels)
    if text:
        content = read_content(Path(saved(tmp_path, text)), SPEC, conditional=False)
        assert restored(content.fields, content.x, None, SPEC) == text.encode("utf-8")
        assert extent(content.fields, SPEC, False) == (len(content.x), levels.shape[-1])


def test_tokens_are_learned_from_the_training_split_alone(tmp_path: Path) -> None:
    text = LINES + "zebra" * 300  # these are test
    data = TextFile(path=saved(tmp_path, text), unit="bpe", vocabulary=280, length=4, test_fraction=0.4)
    assert data.spec == DataSpec((1, 4), 280, medium=data.spec.medium)
    assert DataSpec.from_dict(data.spec.to_dict()) == data.spec
    media, n = Texts(data.spec), len(text)
    assert media.levels("zebra").shape[-1] == 5 and media.levels("the cat").shape[-1] < 5
    windows = {name: torch.from_numpy(split.x).view(1, 1, -1) for name, split in data.load().items()}
    parts = {name: media.strings(x)[0].rstrip("\ufffd") for name, x in windows.items()}  # the last may cut a character
    test = math.ceil(0.4 * n)
    assert text[: n - test].startswith(parts["train"]) and text[n - test :].startswith(parts["test"])
    assert "280 tokens of a byte-pair encoding learned from train" in data.regime and f"{n} characters" in data.regime
    other = TextFile(path=saved(tmp_path, LINES[::-1]), unit="bpe", vocabulary=270, length=4).in_terms_of(data.spec)
    assert other.spec.medium == data.spec.medium, "a density reads other text by its own tokens"


def test_a_run_keeps_its_tokens_and_says_bits_per_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    options = ["model=transformer", "model.width=8", "model.layers=1", "model.position=false", "data.name=text"]
    options += ["data.unit=bpe", f"data.path={saved(tmp_path)}", "data.vocabulary=270", "data.length=16"]
    few = [*QUICK, "trainer.limit_test=null", "data.batch_size=4"]
    assert run_here(*options, *few, f"run_dir={run}") == 0
    assert "test bits/character" in capsys.readouterr().out
    density, data = load(run), TextFile(path=saved(tmp_path), unit="bpe", vocabulary=270, length=16)
    assert isinstance(density.spec.medium, Text) and density.spec == data.spec
    x = torch.from_numpy(data.load()["test"].x.astype(np.int64))
    characters = len("".join(Texts(density.spec).strings(x.view(1, 1, -1))))
    with torch.no_grad():
        bits = -density.log_prob(x).double().sum().item() / (characters * math.log(2))
    assert result(run)["test/bits_per_character"] == pytest.approx(bits, rel=1e-6)
    assert bits_per_character(result(run)["test/nll"], x, density.spec) == pytest.approx(bits, rel=1e-6)
    (tmp_path / "other.txt").write_text(LINES[::-1])
    assert run_here("test", str(run), f"data.path={tmp_path / 'other.txt'}") == 0
    assert "bits/character" in capsys.readouterr().out
    sample = ["sample", str(run), "--n", "2", "--prompt", "The cat", "--out", str(tmp_path / "drawn")]
    assert run_here(*sample) == 0
    assert "⟦The cat⟧" in (tmp_path / "drawn.txt").read_text(encoding="utf-8")
    assert run_here("compress", str(run), saved(tmp_path, LINES[:99]), "--out", str(tmp_path / "a.arl")) == 0
    assert run_here("decompress", str(run), str(tmp_path / "a.arl"), "--out", str(tmp_path / "again.txt")) == 0
    assert (tmp_path / "again.txt").read_bytes() == LINES[:99].encode()
    assert run_here("--resume", str(run), "trainer.max_epochs=2", f"data.path={saved(tmp_path)}") == 0
    assert run_here("test", str(run), "data.unit=bytes") == 2
    assert "other units of text; set data.unit as in the training" in capsys.readouterr().err


def test_what_cannot_be_encoded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="vocabulary=255: the 256 bytes are among the tokens"):
        check_config(load_config(None, ["model=rnn", "data.name=text", "data.unit=bpe", "data.vocabulary=255"]))
    with pytest.raises(UserError, match="no UTF-8") as info:
        read_prompt("\udcff", DataSpec((1, 400), 300, medium=Text(None, TOKENIZER)))
    one_line(info)

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"needs the package tokenizers: pip install 'ar_lightning\[bpe\]'"):
        byte_pairs.learned_from(LINES, 300)
