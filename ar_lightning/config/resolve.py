"""YAML files and `key=value` overrides to one validated, typed config. Imports nothing heavy.

A config is a stack of overlays: the files named by `base:`, the file itself, the command line. Each is checked against
the model, likelihood, data, optimizer and schedule chosen so far, so that an error says which file or the command line
is wrong. An overlay that chooses another name drops what those below set for the old one alone.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ar_lightning.config.overlay import COMMAND_LINE, Overlay, Settings, flat, parse_overrides, read_overlays
from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.schema import REQUIRED, Field
from ar_lightning.config.sections import DEFAULTS, SECTIONS, TOP_LEVEL, section_schema, takes
from ar_lightning.config.values import check_value, plain, type_name, yaml_text
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.files import written

__all__ = ["explicit_settings", "load_config", "reload_config", "resolve", "save_config", "saved_config"]

# What older versions did where they knew no such key, by the name that takes it.
OLDER: dict[str, tuple[str, Settings]] = {"table": ("data", {"data.types": "real"})}


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config file and its bases, apply the overrides, and return the resolved config as plain containers.

    Every section is complete: each key that the chosen names take is there, with its default if nothing set it.
    """
    below = [] if path is None else read_overlays(Path(path))
    return _resolved([*below, parse_overrides(overrides)], path)


def reload_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read the config file of a run, of this version or an older one, as `load_config` does."""
    below = [(where, _as_then(settings)) for where, settings in read_overlays(Path(path))]
    return _resolved([*below, parse_overrides(overrides)], path)


def explicit_settings(path: str | Path, *more: Overlay) -> Settings:
    """Return what a config file, its bases and more overlays set, by dotted key, without the defaults."""
    settings, _, _ = _merged([*read_overlays(Path(path)), *more])
    return settings


def resolve(settings: Settings, values: Settings, where: str) -> dict[str, Any]:
    """Return the complete config of what `explicit_settings` returned, with values by dotted key laid over it.

    A name among the values drops what `settings` has for another name alone. Messages say `where` they come from.
    """
    return _resolved([(where, settings), (where, values)], where)


def saved_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a config that `load_config` once returned, checked anew, with what was done where keys are newer."""
    return resolve(_as_then(flat(where, _literal(config))), {}, where)


def _as_then(settings: Settings) -> Settings:
    """Return the settings of a run with those that say what the version that wrote them did."""
    for name, (section, values) in OLDER.items():
        if settings.get(f"{section}.name") == name:
            settings = values | settings
    return settings


def _resolved(overlays: list[Overlay], path: str | Path | None) -> dict[str, Any]:
    """Merge the overlays, name the experiment after the file, fill in the defaults and resolve interpolations."""
    settings, names, origin = _merged(overlays)
    source, experiment = (COMMAND_LINE, names["model"]) if path is None else (str(path), Path(path).stem)
    # before resolving, so that others can refer to it
    settings["experiment"] = settings.get("experiment") or experiment
    fields = _fields(names)
    for key, field in fields.items():
        if key not in settings and field.default is REQUIRED:
            raise UserError(_missing(key, field), source)
    values = {key: settings.get(key, field.default) for key, field in fields.items()}
    if _is_interpolated(values):
        values = _interpolated(values, origin, source)
    config = _tree({k: check_value(f.annotation, values[k], k, origin.get(k, source)) for k, f in fields.items()})
    config["experiment"] = config["experiment"] or experiment
    return config


def _merged(overlays: list[Overlay]) -> tuple[Settings, dict[str, str | None], dict[str, str]]:
    """Lay the overlays over each other; return the settings, the names they choose, and where each setting is from."""
    chosen = [_chosen(where, overlay) for where, overlay in overlays]
    # A file may leave the model to an overlay above it: its keys are then those of the first model chosen.
    names = {"model": next((new["model"] for new in chosen if "model" in new), None), **DEFAULTS}
    settings: Settings = {}
    origin: dict[str, str] = {}
    for (where, overlay), new in zip(overlays, chosen, strict=True):
        names |= new
        fields = _fields(names)
        for key, value in overlay.items():
            if key not in fields:
                raise UserError(_unknown(key, fields, names), where)
            settings[key] = value if _is_interpolated(value) else check_value(fields[key].annotation, value, key, where)
            origin[key] = where
        settings = {key: value for key, value in settings.items() if key in fields}
    return settings, names, origin


def save_config(config: Mapping[str, Any], path: Path) -> None:
    """Write the resolved config as YAML, in one step; `load_config` reads it back unchanged."""
    from omegaconf import OmegaConf

    with written(path) as partial:
        partial.write_text(OmegaConf.to_yaml(OmegaConf.create(_literal(config))), encoding="utf-8")


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


def _chosen(where: str, overlay: Settings) -> dict[str, str]:
    """Return the names that an overlay chooses, by section."""
    names = {}
    for section in REGISTRIES:
        if (key := f"{section}.name") in overlay:
            names[section] = overlay[key] if isinstance(overlay[key], str) else yaml_text(overlay[key])
            try:
                section_schema(section, names[section])
            except UserError as error:
                raise UserError(f"{key}: {error.problem}", where, error.hint) from None
    return names


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
    homes = {s: [n for n in REGISTRIES[s] if takes(s, n, name)] for s in REGISTRIES}
    return {s: n for s, n in homes.items() if n} | {s: [s] for s in SECTIONS if name in section_schema(s).fields}


def _is_interpolated(value: Any) -> bool:
    return "${" in str(value)  # of a list or a mapping too


def _interpolated(values: Settings, origin: dict[str, str], source: str) -> Settings:
    """Replace each `${...}` by what it refers to."""
    from omegaconf import OmegaConf  # half of the time that a mistake takes to be answered, and seldom needed
    from omegaconf.errors import OmegaConfBaseException

    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(plain(_tree(values))), resolve=True)
    except OmegaConfBaseException as error:
        key = (error.full_key or "").partition("[")[0]  # of the list that an index is in
        problem = str(error).partition("\n")[0]
        raise UserError(f"{key}: {problem}", origin.get(key, source)) from None
    return flat(source, resolved)


def _tree(values: Settings) -> dict[str, Any]:
    """Inverse of `flat`."""
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
