"""Text: windows of levels as strings, strings as levels, samples as a file that a person can read."""

import math
from pathlib import Path

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import written
from ar_lightning.core.medium import Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.media.base import Files, Media
from ar_lightning.media.byte_pairs import beginnings, byte_pairs
from ar_lightning.media.characters import MARK, characters_of

__all__ = ["Texts", "bits_per_character"]

KNOWN = "⟦{}⟧"  # marks a prompt: brackets that are rare in any text


class Texts(Media):
    """Windows of text `(N, 1, T)`, over characters, the bytes of UTF-8 or the tokens of a byte-pair encoding."""

    name = "text"
    unit = "characters"
    illegal = "a character that it does not know"
    recoded = True

    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        assert isinstance(spec.medium, Text)
        self.symbols, self.tokenizer = spec.medium.symbols, spec.medium.tokenizer
        self.bytewise = self.symbols is None and self.tokenizer is None
        self.shift_invariant = not spec.ends

    def strings(self, x: Tensor) -> list[str]:
        """Return windows `(N, 1, T)` of any length as strings, without their end; no UTF-8 becomes U+FFFD.

        Example:
            >>> Texts(DataSpec((1, 3), 2, medium=Text("ab"))).strings(torch.tensor([[[0, 1, 1]]]))
            ['abb']
        """
        rows = self.without_noise(x).detach().cpu().flatten(1).tolist()
        if (end := self.spec.end) is not None:
            rows = [row[: row.index(end)] if end in row else row for row in rows]
        if self.tokenizer is not None:
            return byte_pairs(self.tokenizer).decode_batch(rows)  # type: ignore[no-any-return]
        if self.symbols is None:
            return [bytes(row).decode("utf-8", errors="replace") for row in rows]
        return ["".join(self.symbols[level] for level in row) for row in rows]

    def levels(self, text: str | bytes) -> Tensor:
        """Return a string, or the bytes of one in UTF-8, as levels `(1, 1, T)`, T its number of them.

        A byte order mark at the start is no character, but it is bytes.

        Example:
            >>> Texts(DataSpec((1, 3), 2, medium=Text("ab"))).levels("abb")
            tensor([[[0, 1, 1]]])
        """
        if self.bytewise:
            content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")  # of a terminal
            return torch.tensor(list(content), dtype=torch.long).view(1, 1, -1)
        text = characters_of(text) if isinstance(text, bytes) else text.removeprefix(MARK)
        if self.symbols is None:
            return torch.tensor(self._tokens(text), dtype=torch.long).view(1, 1, -1)
        level_of = {symbol: level for level, symbol in enumerate(self.symbols)}
        for position, character in enumerate(text):
            if character not in level_of:
                where = f"character {position + 1} of the text, {character!r},"
                raise UserError(f"{where} is none of the {len(self.symbols)} that this density was trained on")
        return torch.tensor([level_of[character] for character in text], dtype=torch.long).view(1, 1, -1)

    def _tokens(self, text: str) -> list[int]:
        try:
            ids: list[int] = byte_pairs(self.tokenizer or "").encode(text).ids
        except (TypeError, UnicodeError):
            raise UserError("the text holds bytes that are no UTF-8, of which there are no tokens") from None
        return ids

    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write windows in UTF-8, `STEM.txt`, a numbered line before each; what was known is put in brackets.

        Lines, which end where they end, are written a line each.
        """
        path = stem.with_name(f"{stem.name}.txt")
        told, drawn = (self.strings(part) for part in (x[..., :known], x[..., known:]))
        frame = "{1}\n" if self.spec.ends else "===== {0} =====\n{1}\n\n"
        parts = [
            frame.format(i, f"{KNOWN.format(before) if known else ''}{after}")
            for i, (before, after) in enumerate(zip(told, drawn, strict=True), 1)
        ]
        with written(path) as partial:
            partial.write_bytes("".join(parts).encode("utf-8"))  # bytes: the ends of lines stay as they are
        return {"samples": path}

    def translate(self, x: Tensor, other: Media) -> Tensor:
        """Return the levels of the same characters here; -1 for a character that is not among them."""
        assert isinstance(other, Texts)
        if (self.symbols, self.tokenizer) == (other.symbols, other.tokenizer):
            return x
        if self.symbols is None or other.symbols is None:
            raise UserError("data: other units of text; set data.unit as in the training of this density")
        levels = [self.symbols.find(symbol) for symbol in other.symbols]
        return torch.tensor([*levels, *([] if self.spec.end is None else [self.spec.end])])[x]


def bits_per_character(nll: float, x: Tensor, spec: DataSpec) -> float | None:
    """Return the bits of each character of windows `(N, 1, T)` of tokens, whose mean is `nll` nats; None of others.

    It is an upper bound for the text, of which p is the sum over all its spellings by tokens.
    """
    if not isinstance(spec.medium, Text) or spec.medium.tokenizer is None:
        return None
    characters = torch.from_numpy(beginnings(spec.medium.tokenizer))[x.long()].sum()
    return nll * len(x) / (float(characters) * math.log(2))
