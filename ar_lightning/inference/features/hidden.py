"""The layers of a density whose outputs can represent an example, and those outputs.

A layer is a module of `density.model.named_modules()`, and what it gives is what it returns in one parallel forward
pass. Two kinds of network have hidden units that no module returns, and are read in another way:

- NADE, RNADE and deep NADE compute their parameters `V_i h_i + b_i` in the same module as the hidden units. They run
  with the identity in place of every V_i and zeros in place of b: what they return then is h_i itself.
- MADE multiplies by the weights of its layers without calling them. While streaming it keeps every hidden unit, each
  evaluated once: after a pass `units.layers.0` is the first hidden layer, and so on.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ar_lightning.core.condition import Condition
from ar_lightning.core.errors import UserError, nearest
from ar_lightning.density.density import Density
from ar_lightning.models.base import SequenceModel, token_order
from ar_lightning.nn.masked import MaskedMLP
from ar_lightning.nn.streaming import streaming

__all__ = ["WHOLE", "Layer", "default_layer", "layer_of", "layer_outputs", "layers", "sites_first"]

WHOLE = "model"  # the name of the whole network, which has none among its own modules
TRIED = (5, 7)  # examples in the two batches that tell what is an axis of examples


class Layer(NamedTuple):
    """Where a layer's output has what.

    Args:
        name: in `density.model.named_modules()`; `model` for the whole network.
        axis: of the examples: 0, or 1 where sites come first.
        sites: number S of sites that it has an output at; 1 where it has one for the whole example.
        features: number F of features at each.
    """

    name: str
    axis: int
    sites: int
    features: int


@torch.no_grad()
def layers(density: Density) -> dict[str, Layer]:
    """Return the layers that can represent an example, in the order in which they finish.

    These are the ones whose output has an axis of examples and depends on the values of each, as found by trying two
    batches of different sizes.
    """
    few, more = (_tried(density, n) for n in TRIED)
    found = {}
    for name, output in more.items():
        sizes = list(zip(few[name].shape, output.shape, strict=True)) if few[name].ndim == output.ndim else []
        changing = [axis for axis, (a, b) in enumerate(sizes) if a != b]
        if len(changing) != 1 or sizes[changing[0]] != TRIED or changing[0] > 1 or output.ndim not in (2, 3, 4):
            continue
        maps = sites_first(output, changing[0])
        if bool((maps != maps[:1]).any()):
            found[name] = Layer(name, changing[0], *maps.shape[1:])
    return found


def default_layer(density: Density, found: dict[str, Layer]) -> str:
    """Return the layer that the output layer reads: hidden units rather than parameters, where there are any.

    Raises:
        UserError: no layer depends on the data.
    """
    if not found:
        raise UserError("this density has no layer that depends on the data, so nothing represents an example")
    for name, module in density.model.named_modules():
        if _is_fused(module):
            return name or WHOLE
        if isinstance(module, MaskedMLP):
            return f"{name}.layers.{len(module.layers) - 2}"
    modules = dict(density.model.named_modules())
    inner = [name for name in found if name != WHOLE]
    leaves = [name for name in inner if not any(other.startswith(f"{name}.") for other in inner)]
    before = inner[: inner.index(leaves[-1])]
    hidden = [name for name in before if not isinstance(modules[name], nn.Dropout)]  # which does nothing by now
    return hidden[-1] if hidden else leaves[-1]


def layer_of(density: Density, name: str | None = None) -> Layer:
    """Return the layer of this name, or the default one.

    Raises:
        UserError: it is none, or its outputs represent no example.
    """
    found = layers(density)
    chosen = default_layer(density, found) if name is None else name
    if chosen not in found:
        exists = chosen in dict(density.model.named_modules())
        what = "is not called by itself, or does not depend on the data" if exists else "does not exist"
        hint = nearest(chosen, found) or f"; take {default_layer(density, found)}, or see --layer list"
        raise UserError(f"--layer {chosen}: this layer {what}{hint}")
    return found[chosen]


@torch.no_grad()
def layer_outputs(density: Density, x: Tensor, cond: Condition, only: str | None = None) -> dict[str, Tensor]:
    """Return what layers give of a batch, each in its own layout, in the order in which they finish.

    Of a density of several members, that of the first one.

    Args:
        density: in eval mode.
        x: data values `(B, C, *sites)`.
        cond: what is given of them.
        only: one layer; null for all of them.
    """
    model, z, given = density.model, density._encode(x), density._given(cond)
    found: dict[str, list[Tensor]] = {}
    hooks = [
        module.register_forward_hook(_keep(name, found))
        for name, module in model.named_modules()
        # Those of a computed weight return weights.
        if name and "parametrizations" not in name and only in (None, name)
    ]
    try:
        with density.member(0), torch.compiler.set_stance("force_eager"):  # compiled code may run without hooks
            units = _masked_units(model, z, given) if only is None or ".layers." in only else {}
            whole = functional_call(model, _identities(model), (z, given))
            if isinstance(model, SequenceModel):  # as its other layers: by tokens, in the order of the model
                whole = model.tokens(whole)[:, token_order(model.order, model.shapes)]
    finally:
        for hook in hooks:
            hook.remove()
    # A network that reads sites a block at a time calls its layers for each.
    called = {name: parts[0] if len(parts) == 1 else torch.cat(parts, 1) for name, parts in found.items()}
    return {**units, **called, WHOLE: whole}


def sites_first(output: Tensor, axis: int) -> Tensor:
    """Return a layer's output as `(B, S, F)`.

    Maps `(B, F, H, W)` have features second; all others have them last: `(B, F)`, `(B, S, F)` and `(S, B, F)`.
    """
    output = output.movedim(axis, 0)
    if output.ndim == 4:
        return output.flatten(2).transpose(1, 2)
    return output[:, None] if output.ndim == 2 else output


def _keep(name: str, found: dict[str, list[Tensor]]) -> Callable[..., None]:
    def keep(module: nn.Module, args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output  # recurrent layers return their state as well
        if isinstance(first, Tensor):
            found.setdefault(name, []).append(first)

    return keep


def _tried(density: Density, n: int) -> dict[str, Tensor]:
    """Return the outputs of all layers for n random legal examples, of which the same is given."""
    spec, generator = density.spec, torch.Generator().manual_seed(0)
    shape = (n, *spec.shape)
    x = torch.randn(shape, generator=generator) if spec.levels is None else _levels(spec.levels, shape, generator)
    features = torch.zeros(n, spec.features, *spec.shape[1:], device=density.device) if spec.features else None
    cond = Condition(torch.zeros(n, dtype=torch.long, device=density.device), features)
    was_training = density.training
    density.eval()
    try:
        return layer_outputs(density, x.to(density.device), cond)
    finally:
        density.train(was_training)


def _levels(levels: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(levels, shape, generator=generator)


def _is_fused(module: nn.Module) -> bool:
    """Whether a module computes hidden units and, from them, the parameters `V h + b`."""
    parameters = dict(module.named_parameters(recurse=False))
    return "V" in parameters and "b" in parameters


def _identities(model: nn.Module) -> dict[str, Tensor]:
    """Return the identity for every V `(D, P, H)` or `(D, H, P)`, and zeros for its b `(D, P)`, by their names."""
    found = {}
    for name, module in model.named_modules():
        if _is_fused(module):
            V, prefix = module.get_parameter("V"), f"{name}." if name else ""
            hidden = module.get_parameter("c").shape[0]
            eye = torch.eye(hidden, dtype=V.dtype, device=V.device)
            found[f"{prefix}V"] = eye.expand(len(V), hidden, hidden)
            found[f"{prefix}b"] = V.new_zeros(len(V), hidden)
    return found


def _masked_units(model: Any, z: Tensor, given: Any) -> dict[str, Tensor]:
    """Return the hidden units `(B, H)` of every layer of masked networks."""
    masked = {name: m for name, m in model.named_modules() if isinstance(m, MaskedMLP)}
    if not masked:
        return {}
    with streaming(model):
        model.forward(z, given)
        return {
            f"{name}.layers.{i}": units.T
            for name, module in masked.items()
            for i, units in enumerate((module.past or {})["values"][1:])
        }
