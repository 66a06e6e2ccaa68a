"""The layers of a density that represent an example, and what they give: the ones its model declares, and the whole."""

from typing import NamedTuple

import torch
from torch import Tensor

from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError, nearest
from ar_lightning.density.density import Density
from ar_lightning.models.base import SequenceModel
from ar_lightning.models.orders import token_order

__all__ = ["WHOLE", "Layer", "layer_of", "layer_outputs", "layers"]

WHOLE = "model"  # the name of the whole network, which has none among its own modules


class Layer(NamedTuple):
    """A layer and the shape of its outputs."""

    name: str  # as the model gives it, mostly that of a module; `model` for the whole network
    sites: int  # number S of sites that it has an output at; 1 where it has one for the whole example
    features: int  # number F of features at each


def layers(density: Density) -> dict[str, Layer]:
    """Return the layers that represent an example, in the order in which they are computed; the last is the whole."""
    if density.model.blind:
        return {}
    spec, device = density.spec, density.device
    x = torch.zeros(1, *spec.shape, dtype=torch.float32 if spec.levels is None else torch.long, device=device)
    features = torch.zeros(1, spec.features, *spec.shape[1:], device=device) if spec.features else None
    context = torch.zeros(1, len(spec.context), device=device) if spec.context else None
    given = Condition(torch.zeros(1, dtype=torch.long, device=device), features, context)
    outputs = layer_outputs(density, x, given)
    return {name: Layer(name, *output.shape[1:]) for name, output in outputs.items()}


def layer_of(density: Density, name: str | None = None) -> Layer:
    """Return the layer of this name; null for what the output layer reads: hidden units, where there are any."""
    found = layers(density)
    if not found:
        raise UserError("this density has no layer that depends on the data, so nothing represents an example")
    default = [WHOLE, *found][-2]
    chosen = default if name is None else name
    if chosen not in found:
        exists = chosen in dict(density.model.named_modules())
        what = "does not represent an example" if exists else "does not exist"
        hint = nearest(chosen, found) or f"; take {default}, or see --layer list"
        raise UserError(f"--layer {chosen}: this layer {what}{hint}")
    return found[chosen]


@torch.no_grad()
def layer_outputs(density: Density, x: Tensor, cond: Condition, only: str | None = None) -> dict[str, Tensor]:
    """Return the outputs `(B, S, F)` of layers, or of only one, for a batch, in the order in which they are computed.

    Of a density of several members, those of the first one.
    """
    model, z, given, was_training = density.model, density.encode(x), density.condition_of(cond), density.training
    density.eval()
    try:
        with density.member(0), torch.compiler.set_stance("force_eager"):  # compiled code may run without hooks
            outputs: dict[str, Tensor] = {} if only == WHOLE else model.hidden_units(z, given, only)
            if only in (None, WHOLE):
                params = model.forward(z, given)
                if isinstance(model, SequenceModel):  # as its other layers: by tokens, in the order of the model
                    outputs[WHOLE] = model.tokens(params)[:, token_order(model.order, model.shapes)]
                else:
                    outputs[WHOLE] = params.flatten(2).transpose(1, 2)
            return outputs
    finally:
        density.train(was_training)
