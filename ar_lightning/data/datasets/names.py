"""First names, as makemore has them."""

from typing import ClassVar

from ar_lightning.core.fields import NonNegativeInt, PositiveInt
from ar_lightning.data.download import data_root, obtain
from ar_lightning.data.user.lines import LinesFile

__all__ = ["Names"]


class Names(LinesFile):
    """32,033 first names, each an example of 2 to 15 letters and an end: a benchmark of models of short strings.

    A tenth of the names, drawn at random, is test, another is valid. Source: Karpathy, makemore, 2022, whose names are
    those of babies of 2018 in the statistics of the US Social Security Administration.

    Args:
        max_length: letters of an example, its end among them, at most; null for the longest name.
        split_seed: chooses the names of valid and test.
        data_dir: folder of the data files; null for $AR_LIGHTNING_DATA, else the user's cache.
    """

    base_url: ClassVar[str] = "https://raw.githubusercontent.com/karpathy/makemore/master/"
    sha256: ClassVar[str] = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

    def __init__(
        self, *, max_length: PositiveInt | None = None, split_seed: NonNegativeInt = 0, data_dir: str | None = None
    ) -> None:
        super().__init__(max_length=max_length, split_seed=split_seed)
        self.data_dir = data_dir

    def _read(self) -> bytes:
        folder = data_root(self.data_dir) / "names"
        return obtain({"names.txt": self.sha256}, self.base_url, folder)["names.txt"].read_bytes()

    @property
    def _where(self) -> str:
        return "data.name=names"

    @property
    def _title(self) -> str:
        return "first names of makemore"
