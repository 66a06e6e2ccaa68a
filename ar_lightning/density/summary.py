"""A density in a few lines of text; the network itself, layer by layer, is `density.model`."""

from typing import Any

import torch

from ar_lightning.core.medium import Audio, MixedTable, Roll, Table, Text
from ar_lightning.core.spec import DataSpec
from ar_lightning.likelihoods.base import Likelihood
from ar_lightning.models.orders import site_order

__all__ = ["summary"]


def summary(model: Any, likelihood: Likelihood, spec: DataSpec) -> str:
    """Return the formula of a density, and a line each for its model, likelihood, data, order, condition and size.

    Example:
        >>> from ar_lightning.core.spec import Shapes
        >>> from ar_lightning.likelihoods.discrete import Bernoulli
        >>> from ar_lightning.models.tables import Markov
        >>> spec = DataSpec((1, 8), levels=2)
        >>> print(summary(Markov(Shapes(spec.shape)), Bernoulli(spec), spec))
        p(x) = prod_i p(x_i | x_<i)
          model       Markov
          likelihood  Bernoulli
          data        1x8 with binary values
          order       first to last
          given       nothing
          parameters  15 (float32, cpu)
    """
    options = likelihood.extra_repr()
    parameters = [*model.parameters(), *likelihood.parameters()]
    given = [f"labels of {model.classes} classes"] * bool(model.classes)
    given += [f"{model.features} aligned features"] * bool(model.features)
    given += [f"the first {spec.given} columns"] * bool(spec.given)
    given += [f"vectors of {model.context} numbers"] * bool(model.context)
    rows = {
        "model": type(model).__name__,
        "likelihood": type(likelihood).__name__ + (f" ({options})" if options else ""),
        "data": f"{spec}{_medium(spec)}",
        "order": _order(model),
        "given": " and ".join(given) or "nothing",
        "parameters": f"{sum(p.numel() for p in parameters):,} "
        f"({str(parameters[0].dtype).removeprefix('torch.')}, {parameters[0].device})",
    }
    lines = [f"  {name:10}  {value}" for name, value in rows.items()]
    told = ", ".join(["y"] * bool(model.classes) + ["u"] * bool(model.context))
    formula = f"p(x | {told}) = prod_i p(x_i | x_<i, {told})" if told else "p(x) = prod_i p(x_i | x_<i)"
    return "\n".join([formula, *lines])


def _medium(spec: DataSpec) -> str:
    noise = f", dequantised from {spec.quantised} levels" if spec.quantised else ""
    match spec.medium:
        case Audio(rate):
            return f", sound of {rate} samples a second{noise}"
        case Text(symbols, tokenizer):
            units = "byte pairs" if tokenizer else "bytes" if symbols is None else f"{len(symbols)} characters"
            return f", text of {units}{noise}"
        case Roll(rate, lowest):
            return f", {'frames' if lowest is None else 'piano rolls'}, {rate:g} a second"
        case Table(columns) | MixedTable(columns):
            return f", table of {len(columns)} columns{noise}"
    return noise


def _order(model: Any) -> str:
    """Say in which order, or orders, the values are visited."""
    if len(model.orders) > 1:
        return f"random; {model.members} orders averaged"
    usual = site_order(model.shapes).to(model.orders.device)
    is_image = len(model.shapes.data) == 3
    name = ("raster" if is_image else "first to last") if torch.equal(model.orders[0], usual) else "random"
    return f"{name}; {model.members} networks averaged" if model.members > 1 else name
