"""Start from the weights of another training, as far as they fit, and hold some of them fixed.

Parameters of the same name and shape are taken: the weights that `load` gives, averaged where they were averaged. A
random order, or a mask, is none: it is what this config says, and another one is listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.files import CHECKPOINT_KEY
from ar_lightning.density.density import Density
from ar_lightning.training.checkpoints import finite_weights, read_checkpoint, restoring, written_at

__all__ = ["Start", "freeze", "start_from"]

NAMED = 3  # parameters, in the message that none fits


@dataclass(frozen=True)
class Start:
    """What a training has started from."""

    taken: frozenset[str]  # names of weights
    summary: str  # where they are from, and how many
    left_out: list[tuple[str, str]]  # names, of this model or of the other, and reasons


def start_from(file: Path, density: Density, model: str) -> Start:
    """Give a density, whose model has that name in its config, the weights that fit it of another one's checkpoint.

    Raises:
        UserError: none fits, or the checkpoint cannot be read or has weights that are not numbers.
    """
    try:
        checkpoint = read_checkpoint(file)
        with restoring(file):
            there, (epoch, step) = finite_weights(checkpoint, file), written_at(checkpoint)
    except UserError as error:
        raise error.under("init_from") from None
    parameters, here = dict(density.named_parameters(remove_duplicate=False)), density.state_dict()
    fitting = {name: w for name, w in there.items() if name in parameters and w.shape == parameters[name].shape}
    if not fitting:
        other = checkpoint[CHECKPOINT_KEY]["config"]["model"]["name"]
        what = f"no weights fit: {other} there has {_first(there)}, and {model} here {_first(parameters)}"
        raise UserError(what, f"init_from: {file}")
    left_out = [
        (name, reason)
        for name in [*here, *(name for name in there if name not in here)]
        if name not in fitting and (reason := _reason(here.get(name), there.get(name), name in parameters))
    ]
    taken, all_of_them = (sum(w.numel() for w in weights.values()) for weights in (fitting, parameters))
    count = f"{len(fitting)} of {len(parameters)} tensors, {taken:,} of {all_of_them:,} parameters"
    density.load_state_dict(fitting, strict=False)
    return Start(frozenset(fitting), f"starting from {file} (epoch {epoch}, step {step}): {count}", left_out)


def freeze(density: Density, patterns: Sequence[str]) -> None:
    """Train no parameter whose name, or that of a module it is in, matches one of the patterns.

    Raises:
        UserError: a pattern matches none, or nothing is left to train.
    """
    parameters = dict(density.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        frozen = [p for name, p in parameters.items() if any(fnmatchcase(part, pattern) for part in _and_modules(name))]
        if not frozen:
            known = dict.fromkeys(part for name in parameters for part in _and_modules(name))
            hint = nearest(pattern.removesuffix(".*"), known) or f"there are {_first(parameters)}"
            raise UserError("no parameter or module has such a name", f"trainer.freeze: {pattern}", hint)
        for parameter in frozen:
            parameter.requires_grad_(False)
    if patterns and not any(p.requires_grad for p in parameters.values()):
        raise UserError("nothing is left to train", "trainer.freeze", "leave a pattern out")


def _reason(here: Tensor | None, there: Tensor | None, is_parameter: bool) -> str:
    """Say why weights are not taken; nothing of a buffer that is the same."""
    if there is None:
        return "new here" if is_parameter else ""
    if here is None:
        return "not in this model"
    if here.shape != there.shape:
        return f"{_shape(there)} there, {_shape(here)} here"
    return "" if torch.equal(here.cpu(), there) else "another one there: this one is of the config"


def _and_modules(name: str) -> Iterator[str]:
    """Yield the modules that a parameter is in, and its name.

    Example:
        >>> list(_and_modules("model.units.bias"))
        ['model', 'model.units', 'model.units.bias']
    """
    return accumulate(name.split("."), lambda above, part: f"{above}.{part}")


def _first(weights: Mapping[str, Tensor]) -> str:
    """Name the first weights, with their shapes."""
    named = [f"{name} {_shape(w)}" for name, w in list(weights.items())[:NAMED]]
    return ", ".join([*named, *(["..."] if len(weights) > NAMED else [])])


def _shape(weights: Tensor) -> str:
    return str(tuple(weights.shape))
