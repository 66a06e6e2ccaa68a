"""The sections of a config: which there are, their keys, and what is chosen where nothing is said."""

from dataclasses import replace
from functools import lru_cache

from ar_lightning.config.registry import target_of
from ar_lightning.config.schema import Field, Schema, mentions, schema_of
from ar_lightning.core.fields import NonNegativeInt

__all__ = ["DATA_MODULE", "DEFAULTS", "SECTIONS", "TOP_LEVEL", "section_schema", "takes"]

# Sections whose keys do not depend on a name.
SECTIONS = {
    "trainer": "ar_lightning.training.trainer:make_trainer",
    "samples": "ar_lightning.training.samples:SampleGrids",
    "tracking": "ar_lightning.tracking.loggers:make_loggers",
}
DATA_MODULE = "ar_lightning.data.module:ArrayDataModule"
DEFAULTS = {"likelihood": "auto", "data": "digits", "optimizer": "adam", "schedule": "constant"}
AUTO_LIKELIHOOD = Schema("Whichever of them fits the data best.", {}, {})
TOP_LEVEL = {
    "seed": Field("seed", NonNegativeInt, 0, "seed of the initial weights, the shuffling and the samples"),
    "experiment": Field("experiment", str | None, None, "name of the run; the config file's name if null"),
    "init_from": Field(
        "init_from", str | None, None, "weights to start from, as far as they fit: a run, a checkpoint, zoo:NAME"
    ),
    "run_dir": Field("run_dir", str | None, None, "where the run is kept; runs/EXPERIMENT/TIME-SEED if null"),
}


def takes(section: str, name: str, key: str) -> bool:
    """Return whether a section takes a key where this name is chosen; parses only files that hold the key."""
    targets = [target_of(section, name), *([DATA_MODULE] if section == "data" else [])]
    return any(mentions(target, key) for target in targets) and key in section_schema(section, name).fields


@lru_cache
def section_schema(section: str, name: str | None = None) -> Schema:
    """Return the keys that a section takes, for the chosen name where it has one."""
    if section in SECTIONS:
        return schema_of(SECTIONS[section])
    if (section, name) == ("likelihood", "auto"):
        return AUTO_LIKELIHOOD
    schema = schema_of(target_of(section, str(name)))
    return replace(schema, fields=schema.fields | schema_of(DATA_MODULE).fields) if section == "data" else schema
