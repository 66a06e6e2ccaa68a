"""Texts of the command line: help, and the tables of names."""

import re

from ar_lightning.commands import COMMANDS
from ar_lightning.config.bundled import KINDS, bundled, summary_of
from ar_lightning.config.registry import REGISTRIES, SWEEP_REGISTRIES
from ar_lightning.config.schema import REQUIRED, Field, Schema, schema_of
from ar_lightning.config.sections import DEFAULTS, SECTIONS, TOP_LEVEL, section_schema
from ar_lightning.config.values import type_name, yaml_text
from ar_lightning.core.program import program
from ar_lightning.sweep.definition import KEYS
from ar_lightning.training.trial_pipe import METRICS

__all__ = ["fit_help", "name_tables", "names_of", "sweep_help"]

EXAMPLES = """\
examples:
  python run.py --config conf/pixelrnn.yaml
  python run.py --config conf/nade.yaml data.name=binarized_mnist trainer.max_epochs=30 optimizer.lr=1e-3
  python run.py --resume runs/pixelrnn/2026-01-31_12-00-00-0 trainer.max_epochs=60
  python run.py sample runs/pixelrnn/2026-01-31_12-00-00-0 --n 64 --temperature 0.9
"""
INTRO = """\
usage: python run.py [COMMAND] [--config FILE | --resume RUN] [key=value ...]

Train an autoregressive density model, test its exact likelihood and draw samples from it.

commands:
{commands}

options of fit:
  --config FILE       a YAML file, or the name of one that comes with the package, such as pixelrnn;
                      `base: OTHER.yaml` in it inherits another
  --resume RUN        continue an interrupted run, exactly as if it had not been interrupted: its directory, or
                      a checkpoint in it
  key=value           set any config key; model=NAME is short for model.name=NAME

{examples}
names (`python run.py list` explains them):
{names}

config keys:
{keys}
"""


def fit_help() -> str:
    """Return the help text: commands, examples, and every config key with its type and default."""
    groups = [_keys("", TOP_LEVEL)]
    groups += [f"{section}.*\n{_keys(section, section_schema(section).fields)}" for section in SECTIONS]
    for section in REGISTRIES:
        groups += [_chapter(section, name, section_schema(section, name)) for name in names_of(section)]
    return _as_started(INTRO).format(
        commands=_columns(COMMANDS),
        examples=_as_started(EXAMPLES),
        names=_columns({f"{section}.name": ", ".join(names_of(section)) for section in REGISTRIES}),
        keys="\n\n".join(groups),
    )


def _as_started(text: str) -> str:
    """Write the examples for the program as it was started; outside a checkout configs go by their names."""
    if program() == "python run.py":
        return text
    return re.sub(r"--config (?:conf|sweeps)/(\w+)\.yaml", r"--config \1", text).replace("python run.py", program())


SWEEP_INTRO = """\
usage: python run.py sweep --config FILE [key=value ...]

Search hyper-parameters with Optuna. The same command goes on with a sweep that was interrupted, and joins one that runs
on other machines. The file says `config:` (a config to vary), `overrides:` (a list of key=value), `space:` and, with
their defaults, `objective: {{metric: val/bpd, direction: minimize}}` (or two), `sampler:`, `pruner:`, and these keys.

  python run.py sweep --config sweeps/pixelrnn.yaml
  python run.py sweep --config sweeps/pixelrnn.yaml trials=5 workers=1 sampler.name=random trainer.max_epochs=5
  python run.py sweep-report runs/sweeps/pixelrnn

space, by config key:
  optimizer.lr: {{type: float, low: 1e-4, high: 1e-2, log: true}}
  model.hidden: {{type: int, low: 16, high: 128, step: 16}}
  model.layers: {{type: categorical, choices: [2, 4, 7]}}
  model.name: {{type: categorical, choices: {{nade: {{model.hidden: ..}}, made: {{..}}}}}}   (each with keys of its own)

objective.metric:
  {metrics}

keys:
{keys}
"""


def sweep_help() -> str:
    """Return the help text of sweeps: the keys of a sweep file, samplers and pruners."""
    groups = [_keys("", KEYS)]
    for section, targets in SWEEP_REGISTRIES.items():
        groups += [_chapter(section, name, schema_of(target)) for name, target in targets.items()]
    return _as_started(SWEEP_INTRO).format(metrics=", ".join(METRICS), keys="\n\n".join(groups))


def name_tables() -> str:
    """Return every name that a section or `--config` takes, with what it stands for in a line, a table for each."""
    tables = {f"{s}.name": {name: section_schema(s, name).summary for name in names_of(s)} for s in REGISTRIES}
    for kind, title in zip(KINDS, ("--config", "sweep --config"), strict=True):
        tables[title] = {name: summary_of(file) for name, file in bundled(kind).items()}
    return "\n\n".join(f"{title}\n{_columns(table)}" for title, table in tables.items())


def names_of(section: str) -> list[str]:
    """Return the names that a section takes: the registered ones, then a default such as `auto`."""
    return list(dict.fromkeys([*REGISTRIES[section], *filter(None, [DEFAULTS.get(section)])]))


def _chapter(section: str, name: str, schema: Schema) -> str:
    return f"{section}.name={name}: {schema.summary}\n{_keys(section, schema.fields)}".rstrip()


def _keys(section: str, fields: dict[str, Field]) -> str:
    lines = {}
    for field in fields.values():
        default = "required" if field.default is REQUIRED else f"default {yaml_text(field.default)}"
        key = f"{section}.{field.name}" if section else field.name
        lines[key] = f"{type_name(field.annotation)}; {default}\n{'':<30}{field.doc}".rstrip()
    return _columns(lines, width=26)


def _columns(rows: dict[str, str], width: int = 18) -> str:
    width = max([width, *map(len, rows)])
    return "\n".join(f"  {left:<{width}}  {right}" for left, right in rows.items())
