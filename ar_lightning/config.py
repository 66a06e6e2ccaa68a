"""YAML files and `key=value` overrides to one validated, typed config. Imports nothing heavy.

A config is a stack of layers: the files named by `base:`, the file itself, the command line. Each layer is checked
against the schema of the model, likelihood, data, optimizer and schedule it names, so that an error says which file or
the command line is wrong. When a later layer names another model, keys that only the earlier one has are dropped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field as dataclass_field
from dataclasses import make_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ar_lightning.errors import UserError, did_you_mean
from ar_lightning.fieldtypes import NonNegativeInt, out_of_range, plain_type, type_name
from ar_lightning.registry import REGISTRIES, target_of
from ar_lightning.schema import REQUIRED, Field, Schema, schema_of

__all__ = ["DEFAULTS", "TOP_LEVEL", "load_config", "save_config", "section_schema"]

# Sections whose keys do not depend on a name.
SECTIONS = {
    "trainer": "ar_lightning.train:make_trainer",
    "samples": "ar_lightning.callbacks.samples:SampleGrids",
    "tracking": "ar_lightning.tracking:make_loggers",
}
DATA_MODULE = "ar_lightning.data.module:ArrayDataModule"
DEFAULTS = {"likelihood": "auto", "data": "digits", "optimizer": "adam", "schedule": "constant"}
TOP_LEVEL = {
    "seed": Field("seed", NonNegativeInt, 0, "seed of the initial weights, the shuffling and the samples"),
    "experiment": Field("experiment", str | None, None, "name of the run; the config file's name by default"),
    "run_dir": Field("run_dir", str | None, None, "where the run is kept; runs/EXPERIMENT/TIME-SEED by default"),
}

Layer = tuple[str, dict[str, Any]]


@lru_cache
def section_schema(section: str, name: str | None = None) -> Schema:
    """Return the keys that a section takes, for the chosen name where it has one.

    Raises:
        UserError: no such name.
    """
    if section in SECTIONS:
        return schema_of(SECTIONS[section])
    if (section, name) == ("likelihood", "auto"):
        return Schema("", "the likelihood that fits the data", {})
    schema = schema_of(target_of(section, str(name)))
    return schema.merged(schema_of(DATA_MODULE)) if section == "data" else schema


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config file and its bases, apply the overrides, and return the resolved config as plain containers.

    Every section is complete: each key that the chosen names take is there, with its default if nothing set it.

    Raises:
        UserError: one line that says which file, or the command line, is wrong and what to do.
    """
    layers = (_read_file(Path(path)) if path else []) + ([("command line", _parse(overrides))] if overrides else [])
    source = str(path) if path else "command line"
    names = _names(layers, source)
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    current: dict[str, str] = {}
    for where, layer in layers:
        _check_layer(where, layer, current, names)
        for key, value in layer.items():
            if isinstance(value, dict) and key not in TOP_LEVEL:
                section = merged.setdefault(key, {})
                known = _fields(key, current.get(key))
                for stale in [k for k in section if k not in known]:
                    del section[stale]
                section.update(value)
                origin.update({f"{key}.{k}": where for k in value})
            else:
                merged[key] = value
                origin[key] = where
    config = _resolve(merged, names, origin, source)
    config["experiment"] = config["experiment"] or (Path(path).stem if path else config["model"]["name"])
    return config


def save_config(config: Mapping[str, Any], path: Path) -> None:
    """Write the resolved config as YAML, in one step."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(OmegaConf.to_yaml(OmegaConf.create(_plain(config))), encoding="utf-8")
    partial.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _read_file(path: Path, seen: tuple[Path, ...] = ()) -> list[Layer]:
    """Return the layers of a file, its bases first."""
    if path.resolve() in seen:
        raise UserError(f"{path}: 'base' goes round in a circle")
    try:
        loaded = OmegaConf.load(path)
    except (FileNotFoundError, IsADirectoryError):
        siblings = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise UserError(f"no config file {path}" + (did_you_mean(path.name, siblings) if siblings else "")) from None
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise UserError(f"{path}{f':{mark.line + 1}' if mark else ''}: not valid YAML ({problem})") from None
    if not OmegaConf.is_dict(loaded):
        raise UserError(f"{path}: expected 'key: value' lines at the top level")
    layer: Any = OmegaConf.to_container(loaded)
    if bad := next((key for key in layer if not isinstance(key, str)), None):
        raise UserError(f"{path}: the key {bad!r} is no name")
    bases = layer.pop("base", None) or []
    if not isinstance(bases, (str, list)) or not all(isinstance(b, str) for b in bases):
        raise UserError(f"{path}: base: expected a file name or a list of them")
    below = [_read_file(path.parent / b, (*seen, path.resolve())) for b in ([bases] if isinstance(bases, str) else bases)]
    return [*(entry for layers in below for entry in layers), (str(path), _expand_names(layer))]


def _parse(overrides: Iterable[str]) -> dict[str, Any]:
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key or key.startswith("-"):
            raise UserError(f"command line: '{override}' should look like key=value, such as optimizer.lr=0.001")
    try:
        layer: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"command line: {str(error).splitlines()[0]}") from None
    return _expand_names(layer)


def _expand_names(layer: dict[str, Any]) -> dict[str, Any]:
    """Let `model: nade` stand for `model: {name: nade}`."""
    return {k: {"name": v} if k in REGISTRIES and isinstance(v, str) else v for k, v in layer.items()}


def _names(layers: list[Layer], source: str) -> dict[str, str]:
    """Return the name that each section ends up with."""
    names = dict(DEFAULTS)
    for where, layer in layers:
        for section in REGISTRIES:
            chosen = layer.get(section)
            if isinstance(chosen, dict) and "name" in chosen:
                _check_name(where, section, chosen["name"])
                names[section] = chosen["name"]
    if "model" not in names:
        raise UserError(f"{source}: model.name is missing{did_you_mean('', REGISTRIES['model'])}")
    return names


def _check_name(where: str, section: str, name: Any) -> None:
    try:
        section_schema(section, name if isinstance(name, str) else repr(name))
    except UserError as error:
        raise UserError(f"{where}: {section}.name: {error}") from None


def _fields(section: str, name: str | None) -> dict[str, Field]:
    fields = section_schema(section, name).fields
    return fields if section in SECTIONS else {"name": Field("name", str, name, ""), **fields}


def _check_layer(where: str, layer: dict[str, Any], current: dict[str, str], names: dict[str, str]) -> None:
    """Check one layer's keys and types, and note in `current` the names it chooses."""
    for key, value in layer.items():
        if key in TOP_LEVEL:
            _check_types(where, "", TOP_LEVEL, {key: value})
            continue
        if key not in REGISTRIES and key not in SECTIONS:
            raise UserError(f"{where}: unknown key '{key}'{did_you_mean(key, [*TOP_LEVEL, *REGISTRIES, *SECTIONS])}")
        if not isinstance(value, dict):
            example = next(iter(_fields(key, names.get(key))))
            raise UserError(f"{where}: {key}: expected keys below it, such as {key}.{example}, got {value!r}")
        if key in REGISTRIES:
            current[key] = value.get("name") or current.get(key) or names[key]
        fields = _fields(key, current.get(key))
        for name in value:
            if name not in fields:
                of = f" of {current[key]}" if key in REGISTRIES else ""
                raise UserError(f"{where}: {key}.{name}: no such key{of}{_nearest_key(str(name), key, fields, names)}")
        _check_types(where, f"{key}.", fields, value)


def _nearest_key(name: str, section: str, fields: Iterable[str], names: dict[str, str]) -> str:
    """Suggest a key of this section, or the same key where it stands in another one."""
    others = (s for s in (*REGISTRIES, *SECTIONS) if s != section and name in _fields(s, names.get(s)))
    if elsewhere := next(others, None):
        return f"; did you mean '{elsewhere}.{name}'?"
    return did_you_mean(name, fields)


def _structured(fields: dict[str, Field]) -> Any:
    """Build OmegaConf's typed counterpart of a section."""
    members = []
    for f in fields.values():
        default = MISSING if f.default is REQUIRED else f.default
        members.append((f.name, plain_type(f.annotation), dataclass_field(default_factory=lambda d=default: d)))
    return OmegaConf.structured(make_dataclass("Section", members))


def _check_types(where: str, prefix: str, fields: dict[str, Field], values: dict[str, Any]) -> None:
    typed = _structured({name: fields[name] for name in values})
    for name, value in values.items():
        try:
            typed[name] = value
        except OmegaConfBaseException:
            raise _unexpected(where, prefix + name, fields[name], value) from None


def _unexpected(where: str, key: str, field: Field, value: Any) -> UserError:
    hint = ""
    if get_origin(field.annotation) is Literal and isinstance(value, str):
        hint = did_you_mean(value, map(str, get_args(field.annotation)))
        hint = hint if hint.startswith("; did") else ""
    return UserError(f"{where}: {key}: expected {type_name(field.annotation)}, got {value!r}{hint}")


def _resolve(merged: dict[str, Any], names: dict[str, str], origin: dict[str, str], source: str) -> dict[str, Any]:
    """Fill in the defaults, resolve interpolations and check every value's range."""
    sections = {s: _fields(s, names.get(s)) for s in (*REGISTRIES, *SECTIONS)}
    config = OmegaConf.merge(_structured(TOP_LEVEL), {})
    OmegaConf.set_struct(config, False)
    for section, fields in sections.items():
        config[section] = _structured(fields)
    try:
        config = OmegaConf.merge(config, merged)
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or ""
        raise UserError(f"{origin.get(key, source)}: {key}: {str(error).splitlines()[0]}") from None
    resolved: Any = OmegaConf.to_container(config)
    for prefix, fields, values in [("", TOP_LEVEL, resolved), *((f"{s}.", f, resolved[s]) for s, f in sections.items())]:
        for name, field in fields.items():
            key, value = prefix + name, values[name]
            if value == MISSING:
                raise UserError(f"{source}: {key} is missing: expected {type_name(field.annotation)}")
            if out_of_range(field.annotation, value):
                raise _unexpected(origin.get(key, source), key, field, value)
    return resolved
