"""Hyper-parameters of a class or function, read from its source without importing it.

A constructor's keyword-only arguments are its config schema. Reading them with `ast` keeps PyTorch out of the way until
the config has been validated, so that a typo is answered at once.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ar_lightning.core import fields as fieldtypes

__all__ = ["REQUIRED", "Field", "Schema", "mentions", "schema_of"]

REQUIRED = object()  # default of an argument that has none
Definition = ast.ClassDef | ast.FunctionDef
NAMESPACE = {"Literal": Literal, **{name: getattr(fieldtypes, name) for name in fieldtypes.__all__}}


@dataclass(frozen=True)
class Field:
    """One hyper-parameter: its name, annotation, default and documentation."""

    name: str
    annotation: Any
    default: Any
    doc: str


@dataclass(frozen=True)
class Schema:
    """What the source of one registered class or function declares; `attributes` are its literal class attributes."""

    summary: str
    fields: dict[str, Field]
    attributes: dict[str, Any]


@lru_cache
def schema_of(target: str) -> Schema:
    """Read the schema of `package.module:Name`, a class or a function; a `LookupError` if it is not there."""
    path, name = _path(target), target.partition(":")[2]
    known = _definitions(path)
    if name not in known:
        raise LookupError(f"no {name} in {path}")
    lineage = [known[name]]  # with its base class, and so on, as far as they are in the same file
    while bases := [known[b.id] for b in getattr(lineage[-1], "bases", []) if getattr(b, "id", None) in known]:
        lineage.append(bases[0])
    summary = (ast.get_docstring(lineage[0]) or "").partition("\n")[0]
    attributes = {key: value for node in reversed(lineage) for key, value in _literal_attributes(node).items()}
    return Schema(summary, _fields(lineage), attributes)


def _fields(lineage: list[Definition]) -> dict[str, Field]:
    """Return the arguments of a class; those of its base as well where its constructor takes `**` for them."""
    if not lineage:
        return {}
    definition, *bases = lineage
    init: ast.AST | None = definition
    if isinstance(definition, ast.ClassDef):
        init = next((node for node in definition.body if getattr(node, "name", "") == "__init__"), None)
    if not isinstance(init, ast.FunctionDef):
        return _fields(bases)
    docs = _argument_docs(ast.get_docstring(definition) or "")
    fields = _fields(bases) if init.args.kwarg else {}
    for arg, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
        annotation = eval(ast.unparse(arg.annotation), dict(NAMESPACE)) if arg.annotation else Any
        value = REQUIRED if default is None else ast.literal_eval(default)
        fields[arg.arg] = Field(arg.arg, annotation, value, docs.get(arg.arg, ""))
    return fields


def mentions(target: str, word: str) -> bool:
    """Return whether the file of `package.module:Name` holds a word; quicker than parsing it."""
    return word in _source(_path(target))


@lru_cache
def _path(target: str) -> Path:
    module = target.partition(":")[0]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {module}")
    return Path(spec.origin)


@lru_cache
def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@lru_cache
def _definitions(path: Path) -> dict[str, Definition]:
    nodes = ast.parse(_source(path)).body
    return {node.name: node for node in nodes if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def _literal_attributes(node: ast.AST) -> dict[str, Any]:
    found = {}
    for statement in node.body if isinstance(node, ast.ClassDef) else []:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                try:
                    found[name] = ast.literal_eval(value)
                except (ValueError, TypeError):
                    continue  # not a literal, so not part of the declaration
    return found


def _argument_docs(doc: str) -> dict[str, str]:
    """Parse the `Args:` block of a docstring into one line per argument."""
    block = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    docs: dict[str, str] = {}
    name = ""
    for line in block[1].splitlines() if block else []:
        if entry := re.match(r" {4}(\w+): (.*)", line):
            name, text = entry.groups()
            docs[name] = text
        elif name and line.strip():
            docs[name] += " " + line.strip()
    return docs
