"""Refuse what cannot work before any work is done: pairs that do not fit, missing files, absent devices.

Imports no PyTorch: what a model or likelihood can take is read from the class attributes in its source.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ar_lightning.config.build import build_dataset
from ar_lightning.config.devices import check_devices
from ar_lightning.config.overlay import flat
from ar_lightning.config.registry import LIKELIHOODS, MODELS
from ar_lightning.config.schema import schema_of
from ar_lightning.config.values import yaml_text
from ar_lightning.core.errors import UserError
from ar_lightning.core.medium import MixedTable
from ar_lightning.core.notice import notice
from ar_lightning.core.spec import DataSpec

__all__ = ["ON_RESUME", "check_config", "check_resumed", "check_there", "check_validated"]

# A resumed run is the same run: what may change is how long, how it is watched, and where it and its data are.
ON_RESUME = ("trainer.", "tracking.", "samples.", "data.path", "data.data_dir")


def check_config(config: dict[str, Any], known: DataSpec | None = None) -> Any:
    """Check that model, likelihood and data go together, and that the devices are there; return the dataset.

    It is in the terms of a density of the spec `known`, where there is one.
    """
    check_devices(config["trainer"])
    check_batch(config)
    check_optimizer(config["optimizer"])
    check_blocks(config["model"]["name"], config["optimizer"]["name"], config["trainer"])
    dataset = build_dataset(config["data"])
    dataset = dataset.in_terms_of(known) if known else dataset
    spec, name = dataset.spec, config["data"]["name"]
    if config["data"]["dequantise"]:
        if spec.levels is None:
            raise UserError(f"data.dequantise=true: data.name={name} ({spec}) has no levels to add to")
        if spec.ends:
            raise UserError(f"data.dequantise=true: data.name={name} ({spec}) has an end, which is no number")
        spec = spec.dequantised()
    data = f"data.name={name} ({spec})"
    check_likelihood(config["likelihood"]["name"], spec, data)
    check_model(config["model"], spec, data)
    likelihood = config["likelihood"]
    check_pair(config["model"]["name"], likelihood["name"], spec, data, likelihood.get("encoding", "auto"))
    if config["data"]["stream"]:
        check_stream(config["model"], dataset.contiguous, data)
    return dataset


def check_resumed(config: dict[str, Any], trained: dict[str, Any], checkpoint: object) -> None:
    """Refuse a config that does not go on with what a checkpoint was trained by."""
    now, before = (flat("", c) for c in (config, trained))
    for key in sorted(now.keys() | before.keys()):
        may_change = key.startswith((*ON_RESUME, "run_dir", "experiment")) and key != "trainer.freeze"
        if not may_change and now.get(key) != before.get(key):
            values = f"{key}={yaml_text(now.get(key))}, and {checkpoint} was trained with {yaml_text(before.get(key))}"
            raise UserError(f"config: {values}; put it back, or start a new run")
    longer = any(config["trainer"][key] != trained["trainer"][key] for key in ("max_epochs", "max_steps"))
    if longer and config["schedule"]["name"] == "cosine":
        notice("schedule.name=cosine: its learning rate goes on as if the training had been of this length throughout")


def check_there(config: dict[str, Any], changed: Collection[str]) -> None:
    """Raise `UserError` if the file or folder that a run was trained on is not where its config says.

    Keys that were `changed` since are those of other data, which say themselves what is wrong.
    """
    path = config["data"].get("path")
    if path is not None and not {"data.path", "data.name"} & set(changed) and not Path(path).expanduser().exists():
        place = "" if Path(path).is_absolute() else f" in {Path.cwd()}"
        raise UserError(f"no {path}{place}, which this run was trained on", "data.path", "give data.path=...")


def check_likelihood(name: str, spec: DataSpec, data: str) -> None:
    """Refuse a likelihood whose support is not the data's."""
    if spec.levels == 1:
        raise UserError(f"{data}: every value is the same, so there is nothing to model")
    fitting = sorted(n for n in LIKELIHOODS if _takes(n, spec))
    if not fitting:
        raise UserError(f"no likelihood takes {data}: quantise the data to whole numbers 0..K-1")
    if name != "auto" and name not in fitting:
        real = "real" in schema_of(LIKELIHOODS[name]).attributes.get("supports", ())
        other = ", or data.dequantise=true" if real and spec.levels else ""
        raise UserError(f"likelihood.name={name} does not take {data}: choose {' or '.join(fitting)}, or auto{other}")


def _takes(likelihood: str, spec: DataSpec) -> bool:
    declared = schema_of(LIKELIHOODS[likelihood]).attributes
    if spec.ends and declared.get("ordinal"):  # the end is no place on a line
        return False
    return spec.support in declared.get("supports", ()) and spec.shape[0] in declared.get("channels", spec.shape[:1])


def check_model(section: dict[str, Any], spec: DataSpec, data: str) -> None:
    """Refuse a model that cannot take data of this shape."""
    name = section["name"]
    declared = schema_of(MODELS[name]).attributes
    sites = len(spec.shape) - 1
    if declared.get("dims", sites) != sites:
        kind = {1: "sequences (C, T)", 2: "images (C, H, W)"}.get(declared["dims"], f"{declared['dims']}-D data")
        raise UserError(f"model.name={name} reads {kind}, not {data}")
    columns = spec.medium.columns if isinstance(spec.medium, MixedTable) else ()
    gaps = [column.name for column in columns if column.gaps == "unread"]
    if gaps and not declared.get("orderless"):
        able = sorted(n for n, target in MODELS.items() if schema_of(target).attributes.get("orderless"))
        missing = f"values are missing in {', '.join(gaps)}, and model.name={name} reads all in an order of its own"
        raise UserError(f"{missing}: take model.name={' or '.join(able)}, or data.missing_level=true")
    if spec.dims > declared.get("max_sites", spec.dims):
        most = f"model.name={name} takes at most {declared['max_sites']} values, not {data}"
        raise UserError(f"{most}: try data.name=digits data.size=4 data.levels=2")
    if spec.ends:
        _check_left_to_right(section, declared, data)
    if section.get("conditional") and not (spec.classes or spec.context):
        raise UserError(f"model.conditional=true needs labels or vectors (context), and {data} has neither")
    if section.get("conditional") and spec.context and not declared.get("reads_context"):
        able = sorted(n for n, target in MODELS.items() if schema_of(target).attributes.get("reads_context"))
        raise UserError(f"model.name={name} does not read the vectors (context) of {data}: choose {', '.join(able)}")
    if section.get("local") and not spec.features:
        raise UserError(f"model.local=true needs features that are aligned with the sites, and {data} has none")


def _check_left_to_right(section: dict[str, Any], declared: dict[str, Any], data: str) -> None:
    """Refuse a model that does not go from left to right, of examples that end where they end."""
    fix = "choose a model with an order of its own, such as transformer, rnn or wavenet"
    if not declared.get("orderless"):
        key = next(
            (key for key, wrong in {"order": "random", "vary_order": True}.items() if section.get(key) == wrong), ""
        )
        fix = f"set model.{key}={'raster' if key == 'order' else 'false'}" if key else ""
    if fix:
        raise UserError(f"model.name={section['name']}: the examples of {data} are read from left to right; {fix}")


def check_pair(model: str, likelihood: str, spec: DataSpec, data: str, encoding: str = "auto") -> None:
    """Refuse a model and a likelihood that each take the data, but do not go together.

    Some models look values up by their level, which a likelihood of places on a line does not give. Some leave the
    colours of a pixel to the likelihood, which must then model them jointly.
    """
    declared = schema_of(MODELS[model]).attributes
    ordinal = [n for n, target in LIKELIHOODS.items() if schema_of(target).attributes.get("ordinal")]
    if declared.get("lookup") and likelihood in ordinal:
        places = f"likelihood.name={likelihood} reads them as places on a line: choose likelihood.name=auto"
        raise UserError(f"model.name={model} looks values up by their level, but {places}")
    if spec.support == "mixed":
        if not declared.get("mixed", True):
            raise UserError(f"model.name={model} looks values up by their level, and the columns of {data} share none")
    elif declared.get("lookup") and spec.levels is None and not declared.get("blind"):
        raise UserError(f"model.name={model} looks values up by their level, and {data} has none")
    if encoding == "index" and declared.get("encoding") != "index":
        raise UserError(f"likelihood.encoding=index is for models that embed levels; model.name={model} does not")
    joint = likelihood in ordinal or (likelihood == "auto" and spec.levels is not None)
    if declared.get("joint_colours") and spec.shape[0] > 1 and not joint:
        colours = f"model.name={model} leaves the {spec.shape[0]} channels of {data} to the likelihood"
        raise UserError(f"{colours}, and {likelihood} does not model them jointly: choose {' or '.join(ordinal)}")


def check_stream(section: dict[str, Any], contiguous: bool, data: str) -> None:
    """Refuse to read examples as a stream that are none, or by a model that cannot go on where it ended."""
    if not contiguous:
        raise UserError(f"data.stream=true: the examples of {data} do not follow each other; set it to false")
    name = section["name"]
    if not schema_of(MODELS[name]).attributes.get("carries"):
        able = sorted(n for n, target in MODELS.items() if schema_of(target).attributes.get("carries"))
        raise UserError(f"data.stream=true: model.name={name} carries no state on: choose {' or '.join(able)}")
    # A random order ends anywhere in a window; the others would read what belongs to one window alone.
    for key, off in {"order": "raster", "position": False, "conditional": False}.items():
        if section.get(key, off) != off:
            state = f"a state is not carried on with model.{key}={yaml_text(section[key])}"
            raise UserError(f"data.stream=true: {state}; set it to {yaml_text(off)}, or data.stream=false")


def check_batch(config: dict[str, Any]) -> None:
    """Refuse a batch that cannot be shared out; where the number of devices is left open, the DataModule will tell."""
    devices, nodes = config["trainer"]["devices"], config["trainer"]["num_nodes"]
    batch = config["data"]["batch_size"]
    if isinstance(devices, int) and devices > 0 and batch % (devices * nodes):
        raise UserError(f"data.batch_size={batch} cannot be divided among {devices * nodes} processes; change either")


def check_validated(trainer: dict[str, Any], steps: int | None = None) -> None:
    """Refuse a training that ends before its first validation; `steps` are the optimizer steps of an epoch, if known.

    A training by itself may do so. A trial of a sweep would be trained for nothing.
    """
    every, epochs, most = trainer["val_every"], trainer["max_epochs"], trainer["max_steps"]
    if every > epochs:
        never = f"trainer.val_every={every} is above trainer.max_epochs={epochs}"
    elif steps and most and most < every * steps:
        never = f"trainer.max_steps={most} ends before the first validation, after {every * steps} steps"
    else:
        return
    raise UserError(f"{never}: no trial would be validated; change either")


def check_optimizer(section: dict[str, Any]) -> None:
    """Refuse what the optimizer itself would refuse, but only once the data has been read."""
    if section.get("nesterov") and not section["momentum"]:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0, such as 0.9")


def check_blocks(model: str, optimizer: str, trainer: dict[str, Any]) -> None:
    """Refuse to checkpoint or to shard what is no stack of blocks, and to shard what is only trained as a whole."""
    sharded = trainer["strategy"] == "fsdp"
    others = {}
    if trainer["checkpoint_activations"]:
        others["trainer.checkpoint_activations=true"] = "halve data.batch_size and set trainer.accumulate=2"
    if sharded:
        others["trainer.strategy=fsdp"] = "take trainer.strategy=ddp"
    able = sorted(n for n, target in MODELS.items() if schema_of(target).attributes.get("blocks"))
    for key, other in others.items():
        if model not in able:
            raise UserError(f"{key}: model.name={model} is no stack of blocks: choose {', '.join(able)}; or {other}")
    if sharded and optimizer == "muon":
        raise UserError("trainer.strategy=fsdp splits the matrices that optimizer.name=muon needs whole: take adamw")
    if sharded and trainer["compile"]:
        raise UserError("trainer.strategy=fsdp: weights that come and go are not compiled: set trainer.compile=false")
    if sharded and trainer["precision"] == "16-mixed":
        raise UserError("trainer.strategy=fsdp: gradients of float16 are not scaled: take trainer.precision=bf16-mixed")
