"""The layers of a density that represent an example, and what they give: the ones its model declares, and the whole."""

from typing import NamedTuple

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError, nearest
from ar_lightning.density.density import Density
from ar_lightning.models.base import SequenceModel, token_order

__all__ = ["WHOLE", "Layer", "default_layer", "layer_of", "layer_outputs", "layers"]

WHOLE = "model"  # the name of the whole network, which has none among its own modules


class Layer(NamedTuple):
    """A layer and the shape of its outputs.

    Args:
        name: as the model gives it, mostly that of a module; `model` for the whole network.
        sites: number S of sites that it has an output at; 1 where it has one for the whole example.
        features: number F of features at each.
    """

    name: str
    sites: int
    features: int


def layers(density: Density) -> dict[str, Layer]:
    """Return the layers that represent an example, in the order in which they are computed; the last is the whole."""
    if density.model.blind:
        return {}
    spec, device = density.spec, density.device
    x = torch.zeros(1, *spec.shape, dtype=torch.float32 if spec.levels is None else torch.long, device=device)
    features = torch.zeros(1, spec.features, *spec.shape[1:], device=device) if spec.features else None
    was_training = density.training
    density.eval()
    try:
        outputs = layer_outputs(density, x, Condition(torch.zeros(1, dtype=torch.long, device=device), features))
    finally:
        density.train(was_training)
    return {name: Layer(name, *output.shape[1:]) for name, output in outputs.items()}


def default_layer(found: dict[str, Layer]) -> str:
    """Return the layer that the output layer reads: hidden units rather than parameters, where there are any.

    Raises:
        UserError: no layer depends on the data.
    """
    if not found:
        raise UserError("this density has no layer that depends on the data, so nothing represents an example")
    return [WHOLE, *found][-2]


def layer_of(density: Density, name: str | None = None) -> Layer:
    """Return the layer of this name, or the default one.

    Raises:
        UserError: there is no such layer.
    """
    found = layers(density)
    chosen = default_layer(found) if name is None else name
    if chosen not in found:
        exists = chosen in dict(density.model.named_modules())
        what = "does not represent an example" if exists else "does not exist"
        hint = nearest(chosen, found) or f"; take {default_layer(found)}, or see --layer list"
        raise UserError(f"--layer {chosen}: this layer {what}{hint}")
    return found[chosen]


@torch.no_grad()
def layer_outputs(density: Density, x: Tensor, cond: Condition, only: str | None = None) -> dict[str, Tensor]:
    """Return the outputs `(B, S, F)` of layers for a batch, in the order in which they are computed.

    Of a density of several members, that of the first one.

    Args:
        density: in eval mode.
        x: data values `(B, C, *sites)`.
        cond: what is given of them.
        only: one layer; null for all of them.
    """
    model, z, given = density.model, density.encode(x), density.condition_of(cond)
    with density.member(0), torch.compiler.set_stance("force_eager"):  # compiled code may run without hooks
        outputs: dict[str, Tensor] = {} if only == WHOLE else model.hidden_units(z, given, only)
        if only in (None, WHOLE):
            params = model.forward(z, given)
            if isinstance(model, SequenceModel):  # as its other layers: by tokens, in the order of the model
                outputs[WHOLE] = model.tokens(params)[:, token_order(model.order, model.shapes)]
            else:
                outputs[WHOLE] = params.flatten(2).transpose(1, 2)
    return outputs
