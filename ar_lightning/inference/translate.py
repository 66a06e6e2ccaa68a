"""Data in the terms of a density that was trained on other data: its units and characters, or why it cannot be."""

from collections.abc import Callable

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density

__all__ = ["check_data", "translation"]


def check_data(density: Density, data: ArrayDataModule) -> None:
    """Refuse data that a density cannot take.

    Raises:
        UserError: shape, values, classes or features are not those that it was trained for.
    """
    own, other = density.spec, data.spec
    texts = isinstance(own.medium, Text) and isinstance(other.medium, Text)  # these differ in their characters
    is_same = own.shape == other.shape and (own.levels == other.levels or texts) and own.quantised == other.quantised
    if not is_same:
        how = "; set data.dequantise=true" if own.quantised and own.quantised == other.levels else ""
        raise UserError(f"data: {_in_full(other)}, but this density was trained for {_in_full(own)}{how}")
    if type(own.medium) is not type(other.medium):
        raise UserError(f"data: {_kind(other)}, but this density was trained for {_kind(own)}")
    if isinstance(own.medium, Table) and isinstance(other.medium, Table) and own.medium.columns != other.medium.columns:
        columns = ", ".join(own.medium.columns)
        raise UserError(f"data: columns {', '.join(other.medium.columns)}, but this density was trained for {columns}")
    if not isinstance(own.medium, Table | Text) and own.medium != other.medium:
        raise UserError(f"data: {other.medium}, but this density was trained for {own.medium}")
    if density.conditional and other.classes != own.classes:
        raise UserError(f"data: {other.classes} classes, but this density is conditional on {own.classes}")
    if density.model.features and other.features != own.features:
        raise UserError(f"data: {other.features} features, but this density reads {own.features}")
    if data.stream and not density.model.carries:
        raise UserError("data.stream=true: this density carries no state on; set it to false")


def translation(density: Density, data: ArrayDataModule) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what puts a batch, whose examples have these numbers, in the units or characters of a density.

    Raises:
        UserError: it cannot take the data; what is returned raises it where an example holds illegal values.
    """
    check_data(density, data)
    own, other = density.spec, data.spec

    def read(x: Tensor, rows: Tensor) -> Tensor:
        if isinstance(own.medium, Table) and isinstance(other.medium, Table) and own.medium != other.medium:
            offset, scale, new_offset, new_scale = (
                torch.tensor(column, dtype=torch.float64)
                for medium in (other.medium, own.medium)
                for column in (medium.offset, medium.scale)
            )
            x = ((offset + scale * x - new_offset) / new_scale).float()
        if isinstance(own.medium, Text) and isinstance(other.medium, Text) and own.medium != other.medium:
            x = _respelt(x, own.medium.symbols, other.medium.symbols)
        legal = x.isfinite() if own.levels is None else (x >= 0) & (x < own.levels) & (x == x.round())
        if not bool(legal.all()):
            i = int((~legal).flatten(1).any(1).nonzero()[0])
            value = x[i][~legal[i]][0].item()
            what = "a character that it does not know" if isinstance(own.medium, Text) else f"the value {value:g}"
            raise UserError(f"data: example {rows[i]} holds {what}; this density was trained for {_in_full(own)}")
        return x

    return read


def _respelt(x: Tensor, symbols: str | None, before: str | None) -> Tensor:
    """Return levels of the characters `symbols` for those of `before`; -1 for a character that is not among them."""
    if symbols is None or before is None:
        raise UserError("data: bytes are no characters; set data.unit as in the training of this density")
    return torch.tensor([symbols.find(symbol) for symbol in before])[x]


def _in_full(spec: DataSpec) -> str:
    return f"{spec}, dequantised from {spec.quantised} levels" if spec.quantised else str(spec)


def _kind(spec: DataSpec) -> str:
    return "plain arrays or images" if spec.medium is None else type(spec.medium).__name__.lower()
