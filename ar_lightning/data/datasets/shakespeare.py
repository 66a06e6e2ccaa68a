"""Shakespeare's plays, as char-rnn has them."""

from typing import ClassVar, Literal

from ar_lightning.core.fields import PositiveInt
from ar_lightning.data.download import data_root, obtain
from ar_lightning.data.user.text import TextFile

__all__ = ["TinyShakespeare"]


class TinyShakespeare(TextFile):
    """Shakespeare's plays in one file of 1,115,394 characters, 65 different ones: a benchmark of character models.

    The last 10 % are test, as is usual: the end of The Taming of the Shrew, whose start is in train, and The Tempest,
    of which nothing is. The first 5 % are valid, all others train. Source: Karpathy, char-rnn, 2015.

    Args:
        unit: what a value is.
        vocabulary: tokens of bpe, the 256 bytes among them.
        length: characters, bytes or tokens of a window.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    base_url: ClassVar[str] = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
    sha256: ClassVar[str] = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    contiguous = True

    def __init__(
        self,
        *,
        unit: Literal["characters", "bytes", "bpe"] = "characters",
        vocabulary: PositiveInt = 512,
        length: PositiveInt = 128,
        data_dir: str | None = None,
    ) -> None:
        super().__init__(unit=unit, vocabulary=vocabulary, length=length, valid_fraction=0.05, valid_first=True)
        self.data_dir = data_dir

    def _read(self) -> bytes:
        folder = data_root(self.data_dir) / "tinyshakespeare"
        return obtain({"input.txt": self.sha256}, self.base_url, folder)["input.txt"].read_bytes()

    @property
    def _where(self) -> str:
        return "data.name=tiny_shakespeare"

    @property
    def _title(self) -> str:
        return "tiny Shakespeare"
