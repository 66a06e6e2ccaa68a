r"""Weight normalisation of convolutions, and its initialisation from data.

    w = g v / ||v||,    with g and bias such that on the first batch each output channel has mean 0 and variance s^2

Salimans & Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks",
NIPS 2016.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

__all__ = ["initialise_from_data", "normalise_weights"]

Convolution = nn.Conv2d | nn.ConvTranspose2d
CONSTANT = 1e-2  # a channel that varies less, with a kernel of norm 1, counts as constant and keeps its scale


def normalise_weights(model: nn.Module) -> None:
    """Give every convolution in `model` a weight norm per output channel."""
    for m in list(model.modules()):
        if isinstance(m, Convolution):
            weight_norm(m, dim=int(isinstance(m, nn.ConvTranspose2d)))  # which has its inputs first


@torch.no_grad()
def initialise_from_data(model: nn.Module, run: Callable[[], Any], scales: Mapping[nn.Module, float] = {}) -> None:
    """Set g and bias of every weight-normed convolution to normalise its outputs, in the order they are computed.

    `run` makes one forward pass on a batch, without dropout; `scales` are the outputs' standard deviations s, else 1.
    """
    was_training = model.training
    model.eval()
    try:
        with ExitStack() as hooks:
            for m in model.modules():
                if isinstance(m, Convolution) and is_parametrized(m, "weight"):
                    hooks.enter_context(m.register_forward_hook(partial(_normalise, scales.get(m, 1.0))))
            run()
    finally:
        model.train(was_training)


def _normalise(scale: float, m: Any, inputs: Any, y: Tensor) -> Tensor:
    """Change a convolution so that its outputs y are normalised, and return those; as a forward hook."""
    std, mean = torch.std_mean(y, (0, 2, 3), correction=0)
    g = m.parametrizations.weight.original0
    constant = std <= CONSTANT * g.flatten().abs()
    factor = torch.where(constant, 1.0, scale / std)
    g.mul_(factor.view_as(g))
    if m.bias is None:
        return y * factor[:, None, None]
    m.bias.sub_(mean).mul_(factor)
    return (y - mean[:, None, None]) * factor[:, None, None]
