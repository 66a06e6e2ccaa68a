"""What a density says of itself: a few lines in a terminal, a small table in a notebook, and data values as a picture.

The network itself, layer by layer, is `density.model`.
"""

import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ar_lightning.core.medium import Audio, Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.models.base import site_order

if TYPE_CHECKING:
    from PIL.Image import Image

    from ar_lightning.density.density import Density

__all__ = ["as_html", "as_picture", "as_text", "facts"]


def facts(density: "Density") -> dict[str, str]:
    """Return what there is to say of a density, by what it is about."""
    likelihood, model = density.likelihood, density.model
    options = likelihood.extra_repr()
    labels = [f"labels of {model.classes} classes"] if density.conditional else []
    features = [f"{model.features} aligned features"] if model.features else []
    parameters = sum(p.numel() for p in density.parameters())
    return {
        "model": type(model).__name__,
        "likelihood": type(likelihood).__name__ + (f" ({options})" if options else ""),
        "data": f"{density.spec}{_medium(density.spec)}",
        "order": _order(density),
        "given": " and ".join(labels + features) or "nothing",
        "parameters": f"{parameters:,} ({str(density.dtype).removeprefix('torch.')}, {density.device})",
    }


def as_text(density: "Density") -> str:
    """Return a line for each fact.

    Example:
        >>> from ar_lightning.training.checkpoints import build_density
        >>> config = {"model": {"name": "markov"}, "likelihood": {"name": "bernoulli"}}
        >>> build_density(config, DataSpec((1, 8), levels=2))
        Density p(x) = prod_i p(x_i | x_<i)
          model       Markov
          likelihood  Bernoulli
          data        1x8 with binary values
          order       first to last
          given       nothing
          parameters  15 (float32, cpu)
    """
    rows = facts(density)
    width = max(map(len, rows))
    lines = [f"  {name:{width}}  {value}" for name, value in rows.items()]
    return "\n".join([f"{type(density).__name__} {_formula(density)}", *lines])


def as_html(density: "Density") -> str:
    """Return the same as a table."""
    cell = '<td style="text-align: left">{}</td>'
    rows = "".join(
        f"<tr>{cell.format(f'<b>{name}</b>')}{cell.format(escape(value))}</tr>"
        for name, value in facts(density).items()
    )
    caption = f"{type(density).__name__} {escape(_formula(density))}"
    return f'<table><caption style="text-align: left">{caption}</caption><tbody>{rows}</tbody></table>'


def as_picture(density: "Density", x: Tensor, columns: int = 0) -> "Image":
    """Return data values as one picture, which a notebook shows: a grid of images, or a sheet of waveforms.

    Args:
        density: of such values.
        x: data values `(N, C, *sites)`, such as samples; N is at least 1.
        columns: of a grid of images; 0 for a grid about as wide as high.

    Raises:
        ValueError: wrong shape or values, or data that has no picture: text, or the rows of a table.
    """
    from PIL import Image

    from ar_lightning.media.images import image_grid
    from ar_lightning.media.write import as_levels

    density._check_values(x)
    if not len(x):
        raise ValueError("there is nothing to show: x holds no example")
    match density.spec.medium:
        case Text():
            raise ValueError(
                "text is no picture: ar_lightning.media.text.to_text(x, density.spec) returns it as strings"
            )
        case Table():
            raise ValueError(
                "rows are no picture: ar_lightning.media.write.write_samples(x, density.spec, stem) writes them"
            )
        case Audio():
            return _sheet(x, density.spec)
    return Image.fromarray(image_grid(*as_levels(x, density.spec), columns))


def _sheet(x: Tensor, spec: DataSpec) -> "Image":
    from PIL import Image

    from ar_lightning.media.sound import sound_sheet_png

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.png"
        sound_sheet_png(x, spec, path)
        with Image.open(path) as image:
            return image.copy()


def _formula(density: "Density") -> str:
    given = ", y" if density.conditional else ""
    return f"p(x{' | y' if given else ''}) = prod_i p(x_i | x_<i{given})"


def _medium(spec: DataSpec) -> str:
    noise = f", dequantised from {spec.quantised} levels" if spec.quantised else ""
    match spec.medium:
        case Audio(rate):
            return f", sound of {rate} samples a second{noise}"
        case Text(symbols):
            return f", text of {'bytes' if symbols is None else f'{len(symbols)} characters'}{noise}"
        case Table(columns):
            return f", table of {len(columns)} columns{noise}"
    return noise


def _order(density: "Density") -> str:
    """Say in which order, or orders, the values are visited."""
    model, members = density.model, density.model.members
    usual = site_order(model.shapes).to(model.orders.device)
    if len(model.orders) > 1:
        return f"random; {members} orders averaged"
    in_order = bool(torch.equal(model.orders[0], usual))
    name = ("raster" if len(density.spec.shape) == 3 else "first to last") if in_order else "random"
    return f"{name}; {members} networks averaged" if members > 1 else name
