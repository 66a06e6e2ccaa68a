"""YAML files and `key=value` overrides to one validated, typed config. Imports nothing heavy.

A config is a stack of layers: the files named by `base:`, the file itself, the command line. Each layer is checked
against the model, likelihood, data, optimizer and schedule chosen so far, so that an error says which file or the
command line is wrong. A layer that chooses another name drops what the layers below set for the old one alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ar_lightning.errors import UserError, did_you_mean, nearest
from ar_lightning.fieldtypes import NonNegativeInt, conform, literals, type_name, yaml_text
from ar_lightning.files import written
from ar_lightning.registry import REGISTRIES, target_of
from ar_lightning.schema import REQUIRED, Field, Schema, schema_of

__all__ = ["DATA_MODULE", "DEFAULTS", "SECTIONS", "TOP_LEVEL", "load_config", "save_config", "section_schema"]

# Sections whose keys do not depend on a name.
SECTIONS = {
    "trainer": "ar_lightning.trainer:make_trainer",
    "samples": "ar_lightning.callbacks.samples:SampleGrids",
    "tracking": "ar_lightning.tracking:make_loggers",
}
DATA_MODULE = "ar_lightning.data.module:ArrayDataModule"
DEFAULTS = {"likelihood": "auto", "data": "digits", "optimizer": "adam", "schedule": "constant"}
AUTO_LIKELIHOOD = Schema("", "Whichever of them fits the data best.", {})
TOP_LEVEL = {
    "seed": Field("seed", NonNegativeInt, 0, "seed of the initial weights, the shuffling and the samples"),
    "experiment": Field("experiment", str | None, None, "name of the run; the config file's name if null"),
    "run_dir": Field("run_dir", str | None, None, "where the run is kept; runs/EXPERIMENT/TIME-SEED if null"),
}
COMMAND_LINE = "command line"
# What a malformed text can raise: PyYAML leaves `!!int x` to int(), OmegaConf asserts that a text is no lone number.
_YAML_ERRORS = (YAMLError, OmegaConfBaseException, ValueError, LookupError, RecursionError, AssertionError)

Settings = dict[str, Any]  # by dotted key, such as `model.hidden`
Layer = tuple[str, Settings]  # where it comes from, and what it sets


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config file and its bases, apply the overrides, and return the resolved config as plain containers.

    Every section is complete: each key that the chosen names take is there, with its default if nothing set it.

    Raises:
        UserError: one line that says which file, or the command line, is wrong and what to do.
    """
    layers = [*(_read(Path(path)) if path is not None else []), *([_parse(overrides)] if overrides else [])]
    source = COMMAND_LINE if path is None else str(path)
    chosen = [_chosen(where, layer) for where, layer in layers]
    # A file may leave the model to a layer above it: its keys are then those of the first model chosen.
    names = {"model": next((new["model"] for new in chosen if "model" in new), None), **DEFAULTS}
    fields: dict[str, Field] = {}
    settings: Settings = {}
    origin: dict[str, str] = {}
    for (where, layer), new in zip(layers, chosen, strict=True):
        names |= new
        fields = _fields(names)
        for key, value in layer.items():
            if key not in fields:
                raise UserError(f"{where}: {_unknown(key, fields, names)}")
            settings[key] = value if _is_interpolated(value) else _conform(where, key, fields[key], value)
            origin[key] = where
        settings = {key: value for key, value in settings.items() if key in fields}
    experiment = names["model"] if path is None else Path(path).stem
    settings["experiment"] = (
        settings.get("experiment") or experiment
    )  # before resolving, so that others can refer to it
    config = _complete(settings, fields or _fields(names), origin, source)
    config["experiment"] = config["experiment"] or experiment
    return config


def save_config(config: Mapping[str, Any], path: Path) -> None:
    """Write the resolved config as YAML, in one step; `load_config` reads it back unchanged."""
    with written(path) as partial:
        partial.write_text(OmegaConf.to_yaml(OmegaConf.create(_literal(config))), encoding="utf-8")


@lru_cache
def section_schema(section: str, name: str | None = None) -> Schema:
    """Return the keys that a section takes, for the chosen name where it has one.

    Raises:
        UserError: no such name.
    """
    if section in SECTIONS:
        return schema_of(SECTIONS[section])
    if (section, name) == ("likelihood", "auto"):
        return AUTO_LIKELIHOOD
    schema = schema_of(target_of(section, str(name)))
    return schema.merged(schema_of(DATA_MODULE)) if section == "data" else schema


def _fields(names: Mapping[str, str | None]) -> dict[str, Field]:
    """Return every key that a config with these names takes, dotted."""
    fields = dict(TOP_LEVEL)
    for section in (*REGISTRIES, *SECTIONS):
        if section in REGISTRIES:
            fields[f"{section}.name"] = Field("name", str, DEFAULTS.get(section, REQUIRED), "")
        if section in SECTIONS or names[section] is not None:
            schema = section_schema(section, names.get(section))
            fields |= {f"{section}.{key}": field for key, field in schema.fields.items()}
    return fields


def _read(path: Path, asked_by: str = "", below: tuple[Path, ...] = ()) -> list[Layer]:
    """Return the layers of a file, its bases first."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{asked_by}no config file {path}{nearest(path.name, _siblings(path))}") from None
    except UnicodeDecodeError:
        raise UserError(f"{asked_by}{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise UserError(f"{asked_by}cannot read the config file {path}: {error.strerror}") from None
    if path.resolve() in below:
        raise UserError(f"{asked_by}{path} is based on itself")
    with _valid_yaml(path):
        content: Any = OmegaConf.to_container(OmegaConf.create(text))
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, not a list")
    bases = content.pop("base", None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: base: expected a file name or a list of them, got {yaml_text(bases)}")
    layers = [_read(path.parent / base, f"{path}: base: ", (*below, path.resolve())) for base in bases]
    return [*(layer for group in layers for layer in group), (str(path), _flat(str(path), content))]


def _siblings(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []


def _parse(overrides: Sequence[str]) -> Layer:
    settings: Settings = {}
    for override in overrides:
        if not re.match(r"[^\W\d]\w*(\.\w+)*=", override):
            raise UserError(f"{COMMAND_LINE}: '{override}' should look like key=value, such as optimizer.lr=0.001")
        with _valid_yaml(f"{COMMAND_LINE}: {override}"):
            content: Any = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
        settings |= _flat(COMMAND_LINE, content)
    return COMMAND_LINE, settings


@contextmanager
def _valid_yaml(where: object) -> Iterator[None]:
    try:
        yield
    except _YAML_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark and isinstance(where, Path) else ""
        problem = str(getattr(error, "problem", None) or error).partition("\n")[0] or "expected 'key: value' lines"
        raise UserError(f"{where}{line}: not valid YAML ({problem})") from None


def _flat(where: str, content: dict[Any, Any]) -> Settings:
    """Write sections as dotted keys; `model: nade` is short for `model.name: nade`."""
    settings: Settings = {}
    for section, value in content.items():
        if section in REGISTRIES and isinstance(value, str):
            value = {"name": value}
        if section not in REGISTRIES and section not in SECTIONS:
            settings[str(section)] = value
        elif isinstance(value, dict):
            settings |= {f"{section}.{key}": v for key, v in value.items()}
        else:
            example = "name" if section in REGISTRIES else next(iter(section_schema(section).fields))
            raise UserError(f"{where}: {section}: expected keys, such as {section}.{example}, got {yaml_text(value)}")
    return settings


def _chosen(where: str, layer: Settings) -> dict[str, str]:
    """Return the names that a layer chooses, by section."""
    names = {}
    for section in REGISTRIES:
        if (key := f"{section}.name") in layer:
            names[section] = layer[key] if isinstance(layer[key], str) else yaml_text(layer[key])
            try:
                section_schema(section, names[section])
            except UserError as error:
                raise UserError(f"{where}: {key}: {error}") from None
    return names


def _conform(where: str, key: str, field: Field, value: Any) -> Any:
    try:
        return conform(field.annotation, value)
    except ValueError as error:
        hint = nearest(value, filter(str.isidentifier, map(str, literals(field.annotation))))
        raise UserError(f"{where}: {key}: {error}, got {yaml_text(value)}{hint}") from None


def _missing(key: str, field: Field) -> str:
    section, _, name = key.rpartition(".")
    is_name = section in REGISTRIES and name == "name"
    return f"{key} is missing{did_you_mean('', REGISTRIES[section]) if is_name else f': {type_name(field.annotation)}'}"


def _unknown(key: str, fields: Mapping[str, Field], names: Mapping[str, str | None]) -> str:
    """Say that there is no such key, and where it, or one like it, is to be found."""
    section, _, name = key.rpartition(".")
    homes = _homes(name)
    home = next((f"; did you mean '{h}.{name}'?" for h in homes), "")
    if section in REGISTRIES and names[section] is None:
        return _missing(f"{section}.name", fields[f"{section}.name"])
    if section in homes and section in REGISTRIES:
        return f"{key}: no key of {names[section]}, but of {', '.join(homes[section])}"
    if section in (*REGISTRIES, *SECTIONS):
        siblings = [k.removeprefix(f"{section}.") for k in fields if k.startswith(f"{section}.")]
        return f"{key}: no key of {names.get(section, section)}{home or did_you_mean(name, siblings)}"
    return f"no key '{key}'{home or did_you_mean(key, [*TOP_LEVEL, *REGISTRIES, *SECTIONS])}"


def _homes(name: str) -> dict[str, list[str]]:
    """Return the sections that have a key of this name, with the registered names that take it."""
    homes = {s: [n for n in REGISTRIES[s] if name in section_schema(s, n).fields] for s in REGISTRIES}
    return {s: n for s, n in homes.items() if n} | {s: [s] for s in SECTIONS if name in section_schema(s).fields}


def _is_interpolated(value: Any) -> bool:
    return "${" in str(value)  # of a list or a mapping too


def _complete(settings: Settings, fields: dict[str, Field], origin: dict[str, str], source: str) -> dict[str, Any]:
    """Fill in the defaults, resolve the interpolations and check what they gave."""
    for key, field in fields.items():
        if key not in settings and field.default is REQUIRED:
            raise UserError(f"{source}: {_missing(key, field)}")
    tree = _tree({key: settings.get(key, field.default) for key, field in fields.items()})
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    except OmegaConfBaseException as error:
        key = (error.full_key or "").partition("[")[0]  # of the list that an index is in
        problem = str(error).partition("\n")[0]
        raise UserError(f"{origin.get(key, source)}: {key}: {problem}") from None
    values = _flat(source, resolved)
    return _tree({key: _conform(origin.get(key, source), key, field, values[key]) for key, field in fields.items()})


def _tree(values: Settings) -> dict[str, Any]:
    """Inverse of `_flat`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return tree


def _literal(value: Any) -> Any:
    """Plain lists and dicts, with the text that looks like an interpolation escaped."""
    if isinstance(value, Mapping):
        return {k: _literal(v) for k, v in value.items()}
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return [_literal(v) for v in value] if isinstance(value, (list, tuple)) else value
