"""Pictures: names are drawn as they are, and a picture that cannot be drawn costs one line."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from ar_lightning.media.plots import curves_png, drawn, plain_text
from ar_lightning.media.table import pair_plot_png

NAMES = ("in_US$_and_in_AU$", "a$_$b", r"$\\frac$", "[x]", "\N{CJK UNIFIED IDEOGRAPH-4E00}", "a\x1bb")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_names_are_no_formulas(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []
    kept = Text._preprocess_math
    monkeypatch.setattr(Text, "_preprocess_math", lambda self, s: seen.append((s, kept(self, s)[1])) or kept(self, s))
    rows = np.random.default_rng(0).normal(size=(40, 2))
    pair_plot_png(rows, rows, (name, "b"), tmp_path / "pairs.png")
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["step", "epoch", "val/bpd"], [9, 0, 3.0], [19, 1, 2.5]])
    curves_png(tmp_path / "metrics.csv", tmp_path / "curves.png", name)
    assert {tmp_path / "pairs.png", tmp_path / "curves.png"} <= set(tmp_path.iterdir())
    assert name in {text for text, _ in seen} and not any(is_math for _, is_math in seen)


def test_plain_text_is_no_setting_of_the_caller() -> None:
    from matplotlib import rcParams

    with plain_text():
        assert rcParams["text.parse_math"] is False
    assert rcParams["text.parse_math"] is True


def test_a_picture_that_cannot_be_drawn_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn("a.png", lambda: 3) == 3
    assert drawn("a.png", lambda: 1 / 0) is None
    assert capsys.readouterr().out == "a.png: not drawn (division by zero)\n"
