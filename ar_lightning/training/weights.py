"""Weights alone, without the state of a training: a .safetensors file, which holds no code and can be read anywhere.

Its metadata say, as JSON, what a checkpoint says beside its weights: the version, the config, what the data are, and
the epoch and step of the weights. A digest is of all that and of the weights.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, uint8

from ar_lightning.core.files import CHECKPOINT_KEY, write_bytes

__all__ = ["SUFFIX", "density_weights", "read_weights", "write_weights"]

SUFFIX = ".safetensors"
PREFIX = "density."  # of the weights in a checkpoint, whose LightningModule holds the density


def density_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint under their names in the density."""
    return {k.removeprefix(PREFIX): w for k, w in checkpoint["state_dict"].items() if k.startswith(PREFIX)}


def write_weights(checkpoint: dict[str, Any], file: Path) -> None:
    """Write the weights of a checkpoint, as `read_checkpoint` returns it, in one step; the same bytes every time."""
    saved = checkpoint[CHECKPOINT_KEY]
    about = {
        "version": saved["version"], "config": saved["written"] | {"run_dir": None}, "data": saved["data"],
        "epoch": checkpoint["epoch"], "global_step": checkpoint["global_step"],
    }  # fmt: skip
    # Copies, since a file may not hold two views of one tensor.
    weights = {name: weight.detach().cpu().contiguous().clone() for name, weight in density_weights(checkpoint).items()}
    about |= {"sha256": _digest(about, weights)}
    # One key: several would be written in an order that changes.
    write_bytes(save(weights, {CHECKPOINT_KEY: json.dumps(about)}), file)


def read_weights(file: Path) -> dict[str, Any]:
    """Return what `write_weights` wrote, with the keys of a checkpoint; an empty dict of a file of something else.

    Raises:
        ValueError: its digest is wrong, or another error where it is damaged otherwise.
    """
    with safe_open(file, "pt") as content:
        metadata = content.metadata() or {}
        weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (it is no dict)
    if CHECKPOINT_KEY not in metadata:
        return {}
    about = json.loads(metadata[CHECKPOINT_KEY])
    if about.pop("sha256", None) != _digest(about, weights):
        raise ValueError("its digest is wrong: the file is damaged")
    when = {key: about.pop(key) for key in ("epoch", "global_step")}
    return {"state_dict": {f"{PREFIX}{name}": w for name, w in weights.items()}, CHECKPOINT_KEY: about, **when}


def _digest(about: dict[str, Any], weights: dict[str, Tensor]) -> str:
    """Return a SHA-256 of everything that a loaded density depends on."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, weight in sorted(weights.items()):
        digest.update(f"\n{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.contiguous().flatten().view(uint8).numpy().tobytes())
    return digest.hexdigest()
