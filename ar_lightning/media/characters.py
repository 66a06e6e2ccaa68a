"""Bytes as characters: UTF-8 without a byte order mark, whoever reads them; PyTorch is not imported."""

import codecs

from ar_lightning.core.errors import UserError

__all__ = ["MARK", "characters_of", "encoding_of"]

MARK = "\ufeff"  # at the start of a text it only says that the text is Unicode
OTHERS = {  # encodings by the mark that their texts begin with, longer marks first
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
LOOKED_AT = 1000  # bytes at the start of a text without a mark that may show UTF-16


def characters_of(content: bytes) -> str:
    """Return the text in some bytes, its ends of lines as they are, without the mark that it may begin with.

    Example:
        >>> characters_of(b"\\xef\\xbb\\xbfa\\r\\n")
        'a\\r\\n'
    """
    if encoding := encoding_of(content):
        raise UserError(f"text in {encoding}, not in UTF-8", hint="save it in that encoding")
    try:
        return content.decode("utf-8").removeprefix(MARK)
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is {content[error.start]:#04x}"
        raise UserError(f"not text in UTF-8 ({byte})", hint="save it in that encoding") from None


def encoding_of(content: bytes) -> str | None:
    """Return the name of the encoding of a text that is not in UTF-8 but shows what it is."""
    if marked := next((name for mark, name in OTHERS.items() if content.startswith(mark)), None):
        return marked
    ends = {"UTF-16-BE": content[:LOOKED_AT:2], "UTF-16-LE": content[1:LOOKED_AT:2]}  # of Latin text, mostly zeros
    return next((name for name, half in ends.items() if half and half.count(0) > len(half) / 2), None)
