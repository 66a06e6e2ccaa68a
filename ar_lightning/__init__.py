"""Autoregressive density models with exact likelihoods: `p(x) = prod_i p(x_i | x_<i)`.

A trained density, from Python:

    density = ar_lightning.load("runs/mine")  # a run directory or a checkpoint
    density.log_prob(x)  # (B,) nats
    x = density.sample(16)  # (16, C, *sites) data values
    ar_lightning.show(x, density.spec)  # a picture, in a notebook

Of the rows of a table, with pandas frames:

    table = ar_lightning.load_table("runs/mine")
    table.log_prob(frame)  # a Series, in nats
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ar_lightning.core.condition import Condition
    from ar_lightning.density.density import Density
    from ar_lightning.inference.table import TableDensity, load_table
    from ar_lightning.media.choose import show
    from ar_lightning.training.checkpoints import load

__all__ = ["Condition", "Density", "TableDensity", "load", "load_table", "show"]
PLACES = {
    "Condition": "core.condition",
    "Density": "density.density",
    "TableDensity": "inference.table",
    "load": "training.checkpoints",
    "load_table": "inference.table",
    "show": "media.choose",
}
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import PyTorch only when a density is asked for, so that the command line answers at once."""
    if name in PLACES:
        return getattr(import_module(f"ar_lightning.{PLACES[name]}"), name)
    raise AttributeError(f"module 'ar_lightning' has no attribute '{name}'")
