"""The base class of a medium: how a person reads, sees or hears the values of a dataset."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ar_lightning.core.levels import levels_of
from ar_lightning.core.spec import DataSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Files", "Media", "prefix_of"]

Files = dict[str, Path]  # by kind


class Media(ABC):
    """Images, sound, text, frames or a table. `media_of(spec)` chooses the class."""

    name: ClassVar[str]  # in messages
    unit: ClassVar[str] = "values"  # what a prompt gives some of: rows, samples, characters
    completions: ClassVar[int] = 1  # of an example that are shown; 0 where they are not shown
    compared: ClassVar[bool] = False  # samples are shown beside examples of the data
    shift_invariant: bool = False  # examples are windows cut anywhere: all sites have one distribution
    illegal: ClassVar[str] = "the value {:g}"  # a value outside the support, in messages
    recoded: ClassVar[bool] = False  # data on other levels can be taken, since `translate` maps the levels

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec

    def without_noise(self, x: Tensor) -> Tensor:
        """Remove dequantisation noise: return the levels; values without noise stay as they are."""
        return levels_of(x, self.spec.quantised) if self.spec.quantised and x.is_floating_point() else x

    @abstractmethod
    def write_samples(
        self, x: Tensor, stem: Path, data: Tensor | None = None, columns: int = 0, known: int = 0
    ) -> Files:
        """Write samples as `STEM.png`, `STEM-0.wav` .., `STEM.txt` or `STEM.csv`; return the files by kind.

        Samples `(N, C, *sites)` of a table are compared with examples `data`. A grid of images has so many columns, 0
        for one about as wide as high. The first `known` values of each sequence, which the model was told, are marked.
        """

    def write_completions(self, x: Tensor, masks: Tensor, drawn: Tensor, stem: Path) -> Files:
        """Write completions `(N, M, K, C, *sites)` and mark what was known; return the files by kind, none of a table.

        Masks `(M, C, *sites)` are True where a value was known; only images can have several, or other than a prefix.
        """
        known = prefix_of(masks[0])
        if not known or not self.completions:
            return {}
        return as_completions(self.write_samples(drawn[:, 0, 0], stem, known=known))

    def show(self, x: Tensor, columns: int = 0) -> "Image":
        """Return examples `(N, C, *sites)` as one picture; a `ValueError` says that text and tables have none."""
        raise ValueError(f"{self.name} has no picture: media_of(spec).write_samples(x, stem) writes it to a file")

    def difference(self, other: "Media") -> str | None:
        """Return how other data of this medium differs from what the density was trained for; None if it fits."""
        if self.recoded or self.spec.medium == other.spec.medium:
            return None
        return f"{other.spec.medium}, but this density was trained for {self.spec.medium}"

    def translate(self, x: Tensor, other: "Media") -> Tensor:
        """Map values `(N, C, *sites)` of other data of this medium to the units or characters of this one."""
        return x


def as_completions(files: Files) -> Files:
    """Call files of samples files of completions."""
    return {kind.replace("samples", "completions"): path for kind, path in files.items()}


def prefix_of(mask: Tensor) -> int:
    """Return how many values a mask `(1, T)` says are known, where these come first; else 0."""
    known = int(mask.sum())
    return known if mask.ndim == 2 and bool(mask[0, :known].all()) else 0
