"""YAML files and `key=value` overrides as layers of settings, by dotted key."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import SECTIONS, section_schema
from ar_lightning.core.errors import UserError, nearest
from ar_lightning.core.fields import yaml_text

__all__ = ["COMMAND_LINE", "Layer", "Settings", "flat", "parse_overrides", "read_layers", "read_yaml"]

COMMAND_LINE = "command line"
# What a malformed text can raise: PyYAML leaves `!!int x` to int(), OmegaConf asserts that a text is no lone number.
_YAML_ERRORS = (YAMLError, OmegaConfBaseException, ValueError, LookupError, RecursionError, AssertionError)

Settings = dict[str, Any]  # by dotted key, such as `model.hidden`
Layer = tuple[str, Settings]  # where it comes from, and what it sets


def read_layers(path: Path, asked_by: str = "", below: tuple[Path, ...] = ()) -> list[Layer]:
    """Return the layers of a file, its bases first.

    Raises:
        UserError: a file cannot be read, or is no config.
    """
    if path.resolve() in below:
        raise UserError(f"{asked_by}{path} is based on itself")
    content = read_yaml(path, asked_by)
    bases = content.pop("base", None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: base: expected a file name or a list of them, got {yaml_text(bases)}")
    layers = [read_layers(path.parent / base, f"{path}: base: ", (*below, path.resolve())) for base in bases]
    return [*(layer for group in layers for layer in group), (str(path), flat(str(path), content))]


def read_yaml(path: Path, asked_by: str = "") -> dict[Any, Any]:
    """Return the keys of a YAML file; interpolations stay as they are.

    Args:
        path: the file.
        asked_by: what begins the message of an error.

    Raises:
        UserError: it cannot be read, or does not hold keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{asked_by}no config file {path}{nearest(path.name, _siblings(path))}") from None
    except UnicodeDecodeError:
        raise UserError(f"{asked_by}{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise UserError(f"{asked_by}cannot read the config file {path}: {error.strerror}") from None
    with _valid_yaml(path):
        content: Any = OmegaConf.to_container(OmegaConf.create(text))
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, not a list")
    return content


def _siblings(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []


def parse_overrides(overrides: Sequence[str]) -> Layer:
    """Return the layer of `key=value` texts.

    Raises:
        UserError: one is no such text.
    """
    settings: Settings = {}
    for override in overrides:
        if not re.match(r"[^\W\d]\w*(\.\w+)*=", override):
            raise UserError(f"{COMMAND_LINE}: '{override}' should look like key=value, such as optimizer.lr=0.001")
        with _valid_yaml(f"{COMMAND_LINE}: {override}"):
            content: Any = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
        settings |= flat(COMMAND_LINE, content)
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


def flat(where: str, content: dict[Any, Any]) -> Settings:
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
