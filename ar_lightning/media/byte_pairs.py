"""Byte-pair encoding of text: frequent sequences of bytes are tokens, learned from a text; any text can be encoded.

Gage, "A new algorithm for data compression", 1994; Sennrich, Haddow & Birch, "Neural machine translation of rare words
with subword units", ACL 2016; over bytes and within words, as GPT-2 has it (Radford et al., 2019). By the package
`tokenizers`, which is imported where a text is encoded; PyTorch is not.
"""

from functools import cache
from typing import Any

import numpy as np

from ar_lightning.core.errors import UserError

__all__ = ["SMALLEST", "beginnings", "byte_pairs", "learned_from"]

SMALLEST = 256  # tokens: the bytes


@cache
def byte_pairs(tokenizer: str) -> Any:
    """Return the tokenizer that JSON describes, which has `encode(text).ids` and `decode(ids)`.

    Raises:
        UserError: the package `tokenizers` is missing.
    """
    return _package().Tokenizer.from_str(tokenizer)


def learned_from(text: str, tokens: int) -> str:
    """Learn an encoding by so many tokens, the bytes among them, from a text; return the JSON of its tokenizer.

    There are fewer tokens where the text has no pairs left that occur twice.
    """
    package = _package()
    tokenizer = package.Tokenizer(package.models.BPE())
    tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=tokens, min_frequency=2, show_progress=False, special_tokens=[],
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    json: str = tokenizer.to_str()
    return json


@cache
def beginnings(tokenizer: str) -> np.ndarray:
    """Return how many characters begin in each token, `(K,)`: its bytes but those that go on with a character."""
    pairs = byte_pairs(tokenizer)
    continuing = {name for byte, name in _names().items() if 0x80 <= byte < 0xC0}
    tokens = [pairs.id_to_token(k) for k in range(pairs.get_vocab_size())]
    return np.array([sum(name not in continuing for name in token) for token in tokens])


def _names() -> dict[int, str]:
    """Return the character that stands for each byte in tokens, GPT-2's: itself where it can be printed."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


def _package() -> Any:
    try:
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers  # noqa: F401 (they are attributes then)
    except ImportError:
        raise UserError("data.unit=bpe needs the package tokenizers: pip install 'ar_lightning[bpe]'") from None
    return tokenizers
