"""From the sections of a config to a dataset, its DataModule and a density. Imports PyTorch only where it builds."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ar_lightning.config.registry import DATA, find
from ar_lightning.config.schema import schema_of
from ar_lightning.config.sections import DATA_MODULE
from ar_lightning.core.errors import UserError
from ar_lightning.core.spec import DataSpec, Shapes

if TYPE_CHECKING:
    from ar_lightning.data.base import Dataset
    from ar_lightning.data.module import ArrayDataModule
    from ar_lightning.density.density import Density

__all__ = ["auto_likelihood", "build_data_module", "build_dataset", "build_density"]


def build_dataset(section: dict[str, Any]) -> Any:
    """Build the dataset that the `data` section describes; the section's other keys belong to the DataModule."""
    taken = schema_of(DATA[section["name"]]).fields
    return find("data", section["name"])(**{k: v for k, v in section.items() if k in taken})


def build_data_module(config: dict[str, Any], dataset: "Dataset") -> "ArrayDataModule":
    """Build the DataModule of a dataset that the `data` section describes."""
    from ar_lightning.data.module import ArrayDataModule

    return ArrayDataModule(dataset, config["seed"], **{k: config["data"][k] for k in schema_of(DATA_MODULE).fields})


def build_density(config: dict[str, Any], spec: DataSpec) -> "Density":
    """Build the density that the `model` and `likelihood` sections describe, for data of this spec."""
    from ar_lightning.density.density import Density
    from ar_lightning.density.orderless import OrderlessDensity
    from ar_lightning.likelihoods.ends import WithEnds
    from ar_lightning.models.orders import site_order

    model_class = find("model", config["model"]["name"])
    chosen = dict(config["likelihood"])
    name = chosen.pop("name")
    if name == "auto":
        name = auto_likelihood(spec, model_class.joint_colours)
    if chosen.get("encoding", "auto") == "auto" and name == "categorical":
        chosen["encoding"] = model_class.encoding
    with _keys_of("likelihood", chosen):
        likelihood = find("likelihood", name)(spec, **chosen)
    if spec.ends and spec.levels is None:
        likelihood = WithEnds(likelihood, spec)
    if model_class.blind:
        likelihood.freeze_encoders()
    shapes = Shapes(
        spec.shape, likelihood.inputs, likelihood.params, spec.classes, likelihood.joint, likelihood.embedded,
        spec.features, spec.given, len(spec.context), spec.support == "mixed",
    )  # fmt: skip
    options = {k: v for k, v in config["model"].items() if k != "name"}
    with _keys_of("model", options):
        model = model_class(shapes, **options)
    if spec.ends and not bool((model.orders == site_order(shapes)).all()):
        raise UserError(
            f"model.name={config['model']['name']} does not go from left to right, and the data end anywhere"
        )
    if not model.context:  # then no one who uses the density needs to give any
        spec = replace(spec, context=())
    density_class = OrderlessDensity if model_class.orderless else Density
    return density_class(model, likelihood, spec)


def auto_likelihood(spec: DataSpec, joint_colours: bool = False) -> str:
    """Return the name of the likelihood that suits the data, of joint colours where a model leaves these to it."""
    if spec.support == "mixed":
        return "columns"
    if spec.support == "real":
        return "gaussian_mixture"
    if spec.support == "binary" and (spec.shape[0] == 1 or not joint_colours):
        return "bernoulli"
    return "discretized_logistic_mixture" if joint_colours else "categorical"


@contextmanager
def _keys_of(section: str, options: dict[str, Any]) -> Iterator[None]:
    """Name the arguments that a constructor refuses as keys of a section: `kernel=4` becomes `model.kernel=4`."""
    try:
        yield
    except ValueError as error:
        said = re.sub(r"(?<![.\w])(\w+)=", lambda m: f"{section}." * (m[1] in options) + m[0], str(error))
        raise UserError(said) from error
