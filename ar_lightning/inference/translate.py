"""Read other data in the units and characters of a density, or say why it does not fit."""

from collections.abc import Callable

from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density
from ar_lightning.media.choose import media_of

__all__ = ["check_data", "translator"]


def check_data(density: Density, data: ArrayDataModule) -> None:
    """Check that a density can take data.

    Raises:
        UserError: its shape, values, classes or features differ from what the density was trained for.
    """
    own, other = density.spec, data.spec
    media, theirs = media_of(own), media_of(other)
    recoded = media.recoded and theirs.recoded
    if own.shape != other.shape or (own.levels != other.levels and not recoded) or own.quantised != other.quantised:
        how = "; set data.dequantise=true" if own.quantised and own.quantised == other.levels else ""
        raise UserError(f"data: {_in_full(other)}, but this density was trained for {_in_full(own)}{how}")
    if type(media) is not type(theirs):
        raise UserError(f"data: {theirs.name}, but this density was trained for {media.name}")
    if difference := media.difference(theirs):
        raise UserError(f"data: {difference}")
    if density.conditional and other.classes != own.classes:
        raise UserError(f"data: {other.classes} classes, but this density is conditional on {own.classes}")
    if density.model.features and other.features != own.features:
        raise UserError(f"data: {other.features} features, but this density reads {own.features}")
    if data.stream and not density.model.carries:
        raise UserError("data.stream=true: this density carries no state on; set it to false")


def translator(density: Density, data: ArrayDataModule) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that puts a batch in the units or characters of a density.

    It takes values `(B, C, *sites)` and the numbers `(B,)` of the examples, and raises `UserError` if an example holds
    illegal values.

    Raises:
        UserError: the density cannot take the data.
    """
    check_data(density, data)
    own, media, theirs = density.spec, media_of(density.spec), media_of(data.spec)

    def read(x: Tensor, rows: Tensor) -> Tensor:
        x = media.translate(x, theirs)
        legal = x.isfinite() if own.levels is None else (x >= 0) & (x < own.levels) & (x == x.round())
        if not bool(legal.all()):
            i = int((~legal).flatten(1).any(1).nonzero()[0])
            what = media.illegal(x[i][~legal[i]][0].item())
            raise UserError(f"data: example {rows[i]} holds {what}; this density was trained for {_in_full(own)}")
        return x

    return read


def _in_full(spec: DataSpec) -> str:
    return f"{spec}, dequantised from {spec.quantised} levels" if spec.quantised else str(spec)
