"""Refuse what cannot work before any work is done: pairs that do not fit, missing files, absent devices. Imports no PyTorch."""

import ctypes.util
import re
import sys
from pathlib import Path
from typing import Any

from ar_lightning.errors import UserError
from ar_lightning.registry import DATA, LIKELIHOODS, MODELS, find
from ar_lightning.schema import schema_of
from ar_lightning.spec import DataSpec

__all__ = ["build_dataset", "check_config"]


def check_config(config: dict[str, Any]) -> None:
    """Check that model, likelihood, data and devices go together.

    Raises:
        UserError: they do not; the message names the keys to change.
    """
    check_devices(config["trainer"])
    spec = build_dataset(config["data"]).spec
    data = f"data.name={config['data']['name']} ({spec})"
    check_likelihood(config["likelihood"]["name"], spec, data)
    check_model(config["model"], spec, data)


def build_dataset(section: dict[str, Any]) -> Any:
    """Build the dataset that the `data` section describes; what it does not take belongs to the DataModule."""
    taken = schema_of(DATA[section["name"]]).fields
    return find("data", section["name"])(**{k: v for k, v in section.items() if k in taken})


def check_likelihood(name: str, spec: DataSpec, data: str) -> None:
    """Refuse a likelihood whose support is not the data's."""
    supports = {n: schema_of(target).attributes.get("supports", ()) for n, target in LIKELIHOODS.items()}
    fitting = sorted(n for n, kinds in supports.items() if spec.support in kinds)
    if not fitting:
        raise UserError(f"no likelihood takes {data}: quantise the data to whole numbers 0..K-1")
    if name != "auto" and name not in fitting:
        raise UserError(f"likelihood.name={name} does not take {data}: choose {' or '.join(fitting)}, or auto")


def check_model(section: dict[str, Any], spec: DataSpec, data: str) -> None:
    """Refuse a model that cannot take data of this shape."""
    name = section["name"]
    declared = schema_of(MODELS[name]).attributes
    sites = len(spec.shape) - 1
    if declared.get("dims", sites) != sites:
        kind = {1: "sequences (C, T)", 2: "images (C, H, W)"}.get(declared["dims"], f"{declared['dims']}-D data")
        raise UserError(f"model.name={name} reads {kind}, not {data}")
    if spec.shape[0] > declared.get("max_channels", spec.shape[0]):
        raise UserError(f"model.name={name} reads {declared['max_channels']} channel, not {data}")
    if spec.dims > declared.get("max_sites", spec.dims):
        raise UserError(
            f"model.name={name} takes at most {declared['max_sites']} values, not {data}: "
            "try data.name=digits data.size=4 data.levels=2"
        )
    if section.get("conditional") and not spec.classes:
        raise UserError(f"model.conditional=true needs labels, and {data} has none")


def check_devices(trainer: dict[str, Any]) -> None:
    """Refuse devices that are no devices, and a GPU where there is none."""
    devices = trainer["devices"]
    if isinstance(devices, int) and devices < 1 and devices != -1:
        raise UserError(f"trainer.devices={devices}: expected a number of devices, a list such as '0,1', or auto")
    if isinstance(devices, str) and devices != "auto" and not re.fullmatch(r"\d+(,\d+)*,?", devices):
        raise UserError(f"trainer.devices={devices}: expected a number of devices, a list such as '0,1', or auto")
    accelerator = trainer["accelerator"]
    if accelerator == "cpu" and isinstance(devices, str) and "," in devices:
        raise UserError(f"trainer.devices={devices}: a CPU has no device numbers; give a number of processes")
    if accelerator == "mps" and sys.platform != "darwin":
        raise UserError("trainer.accelerator=mps: that is an Apple GPU; this machine has none, use auto or cpu")
    if accelerator in ("gpu", "cuda") and sys.platform == "linux" and not gpu_driver():
        raise UserError(f"trainer.accelerator={accelerator}: no GPU driver on this machine, use auto or cpu")


def gpu_driver() -> bool:
    """Whether a CUDA or ROCm driver is there; asks the system, so that PyTorch need not be imported for a typo."""
    return bool(ctypes.util.find_library("cuda")) or any(Path(p).exists() for p in ("/dev/nvidia0", "/dev/dxg", "/dev/kfd"))
