"""Autoregressive density models with exact likelihoods: `p(x) = prod_i p(x_i | x_<i)`.

Example:
    >>> import ar_lightning
    >>> density = ar_lightning.load("runs/pixelrnn/2026-01-01_12-00-00-0")  # doctest: +SKIP
    >>> density.log_prob(x)        # (B,) nats                                doctest: +SKIP
    >>> density.sample(16)         # (16, C, H, W) data values                doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ar_lightning.density import Density, load

__all__ = ["Density", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import PyTorch only when a density is asked for, so that the command line answers at once."""
    if name in __all__:
        from ar_lightning import density

        return getattr(density, name)
    raise AttributeError(f"module 'ar_lightning' has no attribute '{name}'")
