"""YAML files and `key=value` overrides as overlays: settings by dotted key, laid over each other."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import SECTIONS, section_schema
from ar_lightning.config.values import as_written, yaml_text
from ar_lightning.core.errors import UserError, nearby

__all__ = ["COMMAND_LINE", "Overlay", "Settings", "flat", "parse_overrides", "read_overlays", "read_yaml"]

COMMAND_LINE = "command line"
DEEPEST, LARGEST = 50, 100_000  # levels and values of YAML
Settings = dict[str, Any]  # by dotted key, such as `model.hidden`
Overlay = tuple[str, Settings]  # where it comes from, and what it sets


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's, but a key given twice or a node inside itself is an error, and numbers are as Python writes them.

    `1e-3` and `010`, which is ten, are numbers, which remember how they were written; a date and `12:30` are text.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        return self.construct_object(node, deep=True)  # at once: what holds itself is then refused

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for i, (key, _) in enumerate(node.value) if key.value in keys[:i]), None):
            raise yaml.MarkedYAMLError(problem=f"found duplicate key {twice.value}", problem_mark=twice.start_mark)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        text = node.value.lower()
        if "inf" in text or "nan" in text:
            number: int | float = float(text.replace(".", ""))
        elif re.match("[-+]?0[xb]", text):
            number = int(text, 0)
        else:
            number = float(text) if re.search("[.e]", text) else int(text)
        return as_written(number, node.value)


NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
DIGITS = "[0-9]+(_[0-9]+)*"
NUMBER = re.compile(
    rf"[-+]?({DIGITS}\.?({DIGITS})?(e[-+]?{DIGITS})?|\.{DIGITS}(e[-+]?{DIGITS})?|0x[0-9a-f]+|0b[01]+|\.inf)$|\.nan$",
    re.IGNORECASE,
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag not in (*NUMBERS, "tag:yaml.org,2002:timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))
for number in NUMBERS:
    _Loader.add_constructor(number, _Loader.construct_number)


def read_overlays(path: Path, asked_by: str = "", below: tuple[Path, ...] = ()) -> list[Overlay]:
    """Return the overlays of a file, its bases first."""
    if path.resolve() in below:
        raise UserError(f"{path} is based on itself", asked_by)
    content = read_yaml(path, asked_by)
    bases = content.pop("base", None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"base: expected a file name or a list of them, got {yaml_text(bases)}", path)
    groups = [read_overlays(path.parent / base, f"{path}: base", (*below, path.resolve())) for base in bases]
    return [*(overlay for group in groups for overlay in group), (str(path), flat(str(path), content))]


def read_yaml(path: Path, asked_by: str = "") -> dict[Any, Any]:
    """Return the keys of a YAML file that the key `asked_by` names; interpolations stay as they are."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        hint = nearby(path, lambda path: path.suffix == ".yaml")
        raise UserError(f"no config file {path}", asked_by, hint) from None
    except UnicodeDecodeError:
        raise UserError("not a text file in UTF-8", path).under(asked_by or path) from None
    except OSError as error:
        raise UserError(f"cannot read the config file {path}: {error.strerror}", asked_by) from None
    with _valid_yaml(path):
        _check_size(text)
        content = yaml.load(text, _Loader)
    if not isinstance(content, dict | None):
        raise UserError("expected 'key: value' lines", path)
    return content or {}


def parse_overrides(overrides: Sequence[str], where: str = COMMAND_LINE) -> Overlay:
    """Return what `key=value` texts set; `where` is where they come from, for messages."""
    settings: Settings = {}
    for override in overrides:
        if not re.match(r"[^\W\d]\w*(\.\w+)*=", override):
            raise UserError(f"'{override}' should look like key=value, such as optimizer.lr=0.001", where)
        key, _, text = override.partition("=")
        with _valid_yaml(where, f"{override}: ", f"text stands in quotes, such as \"{key}='{text}'\""):
            _check_size(text)
            node = yaml.compose(text, _Loader)
            if (node.end_mark.index if node else 0) < len(text.rstrip()):
                raise ValueError("what follows # would be left out")
            content = yaml.load(text, _Loader)
        for part in reversed(key.split(".")):
            content = {part: content}
        settings |= flat(where, content)
    return where, settings


def _check_size(text: str) -> None:
    """Refuse what is nested too deeply, or is too large once its aliases are followed, before it is read."""
    sizes: dict[str | None, int] = {}  # nodes by anchor
    open_nodes: list[tuple[str | None, int]] = []  # of each, its anchor and the nodes before it
    nodes = 0
    for event in yaml.parse(text, _Loader):  # without recursion, which in C ends in a crash
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = nodes - before
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
        nodes += sizes.get(event.anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
        if len(open_nodes) > DEEPEST or nodes > LARGEST:
            raise ValueError(f"more than {DEEPEST} levels, or {LARGEST:,} values")


@contextmanager
def _valid_yaml(where: object, what: str = "", hint: str = "") -> Iterator[None]:
    try:
        yield
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:  # PyYAML leaves `!!int x` to int()
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark and isinstance(where, Path) else ""
        problem = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise UserError(f"{what}not valid YAML ({problem})", f"{where}{line}", hint) from None


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
            raise UserError(f"{section}: expected keys, such as {section}.{example}, got {yaml_text(value)}", where)
    return settings
