"""What the command line explains: help, the registries, and the table at the end of a run."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ar_lightning.config import SECTIONS, TOP_LEVEL, section_schema
from ar_lightning.fieldtypes import type_name
from ar_lightning.registry import REGISTRIES
from ar_lightning.schema import REQUIRED, Field, schema_of

__all__ = ["fit_help", "registry_tables", "result_table"]

INTRO = """\
usage: python run.py [COMMAND] [--config FILE | --resume RUN_DIR] [key=value ...]

Train an autoregressive density model, test its exact likelihood and draw samples from it.

commands:
{commands}

options of fit:
  --config FILE       a YAML file, such as conf/pixelrnn.yaml; `base: OTHER.yaml` in it inherits another
  --resume RUN_DIR    continue an interrupted run, exactly as if it had not been interrupted
  key=value           set any config key; model=NAME is short for model.name=NAME

{examples}"""


def fit_help(commands: dict[str, str], examples: str) -> str:
    """Return the help text: commands, examples, and every config key with its type and default."""
    parts = [INTRO.format(commands="\n".join(f"  {name:<8}{text}" for name, text in commands.items()), examples=examples)]
    parts.append("config keys (type, default):\n" + _keys("", TOP_LEVEL))
    for section in SECTIONS:
        parts.append(f"{section}.*\n{_keys(section + '.', section_schema(section).fields)}")
    for section, registry in REGISTRIES.items():
        parts.append(f"{section}.name: {', '.join(registry)}{' or auto' if section == 'likelihood' else ''}")
        for name in registry:
            schema = section_schema(section, name)
            parts.append(f"{section}.name={name}: {schema.summary}\n{_keys(section + '.', schema.fields)}".rstrip())
    return "\n\n".join(parts)


def _keys(prefix: str, fields: dict[str, Field]) -> str:
    lines = []
    for field in fields.values():
        default = "required" if field.default is REQUIRED else _yaml(field.default)
        lines.append(f"  {prefix + field.name:<26} {type_name(field.annotation)}, {default}")
        if field.doc:
            lines.append(f"  {'':<26}   {field.doc}")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)


def registry_tables() -> None:
    """Print every registered name with the first line of its documentation."""
    console = Console(soft_wrap=False)
    for section, registry in REGISTRIES.items():
        table = Table("name", "what it is", title=f"{section}.name", title_justify="left", title_style="bold")
        for name, target in registry.items():
            table.add_row(name, schema_of(target).summary)
        console.print(table)


def result_table(result: dict[str, Any], run_dir: Path) -> None:
    """Print the outcome of a run."""
    table = Table(title=f"{result['model']} on {result['data']}", show_header=False, title_justify="left")
    table.add_row("test nll", f"{result['test/nll']:.4f} nats per example")
    table.add_row("test bits/dim", f"{result['test/bpd']:.4f}")
    table.add_row("parameters", f"{result['parameters']:,}")
    table.add_row("training", f"{result['seconds_training']:.1f} s, {result['epochs']} epochs, {result['steps']} steps")
    for kind, path in result["pictures"].items():
        table.add_row(kind, str(path))
    table.add_row("curves", str(run_dir / "curves.png"))
    table.add_row("run", str(run_dir))
    Console().print(table)
