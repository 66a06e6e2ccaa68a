"""Text in and out: windows of levels as strings, prompts as levels, samples as a file that one can read."""

from pathlib import Path

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.core.levels import levels_of
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec

__all__ = ["to_levels", "to_text", "write_texts"]

GIVEN = "⟦{}⟧"  # marks a prompt: brackets that are rare in any text


def to_text(x: Tensor, spec: DataSpec) -> list[str]:
    """Return windows `(N, 1, T)` of any length as strings; bytes that are no UTF-8 become U+FFFD.

    Example:
        >>> to_text(torch.tensor([[[0, 1, 1]]]), DataSpec((1, 3), 2, medium=Text("ab")))
        ['abb']

    Raises:
        ValueError: the data is no text.
    """
    symbols = _text_of(spec).symbols
    levels = levels_of(x, spec.quantised) if spec.quantised else x
    rows = levels.detach().cpu().flatten(1).tolist()
    if symbols is None:
        return [bytes(row).decode("utf-8", errors="replace") for row in rows]
    return ["".join(symbols[level] for level in row) for row in rows]


def to_levels(text: str, spec: DataSpec) -> Tensor:
    """Return a string as levels `(1, 1, T)`, such as a prompt to complete; T is its number of characters or bytes.

    Example:
        >>> to_levels("abb", DataSpec((1, 3), 2, medium=Text("ab")))
        tensor([[[0, 1, 1]]])

    Raises:
        UserError: a character is none of those that the density knows.
        ValueError: the data is no text.
    """
    symbols = _text_of(spec).symbols
    if symbols is None:
        return torch.tensor(list(text.encode("utf-8")), dtype=torch.long).view(1, 1, -1)
    level_of = {symbol: level for level, symbol in enumerate(symbols)}
    for position, character in enumerate(text):
        if character not in level_of:
            where = f"character {position + 1} of the text, {character!r},"
            raise UserError(f"{where} is none of the {len(symbols)} that this density was trained on")
    return torch.tensor([level_of[character] for character in text], dtype=torch.long).view(1, 1, -1)


def write_texts(x: Tensor, spec: DataSpec, path: Path, known: int = 0) -> None:
    """Write windows `(N, 1, T)` to a text file in UTF-8, in one step, a numbered line before each.

    Args:
        x: windows of text.
        spec: of the data.
        path: of the file; its folder is made if need be.
        known: values at the start of each window that were given, not drawn; they are put in brackets.

    Raises:
        ValueError: the data is no text.
    """
    given, drawn = (to_text(part, spec) for part in (x[..., :known], x[..., known:]))
    parts = [
        f"===== {i} =====\n{GIVEN.format(before) if known else ''}{after}\n\n"
        for i, (before, after) in enumerate(zip(given, drawn, strict=True), 1)
    ]
    with written(path) as partial:
        partial.write_bytes("".join(parts).encode("utf-8"))  # bytes: the ends of lines stay as they are


def _text_of(spec: DataSpec) -> Text:
    if not isinstance(spec.medium, Text):
        raise ValueError(f"{spec} is no text")
    return spec.medium
