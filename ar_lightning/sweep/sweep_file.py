"""A sweep file, read and checked before anything heavy is imported: `sweeps/pixelrnn.yaml`, say.

config: ../conf/pixelrnn.yaml
overrides: [trainer.max_epochs=20]
study: pixelrnn-digits
objective: {metric: val/bpd, direction: minimize}
trials: 40
sampler: {name: tpe, seed: 0}
pruner: {name: median}
space:
  optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ar_lightning.checks import check_config
from ar_lightning.config import explicit_settings
from ar_lightning.errors import UserError, did_you_mean
from ar_lightning.fieldtypes import conform, type_name, yaml_text
from ar_lightning.layers import COMMAND_LINE, Settings, parse_overrides, read_yaml
from ar_lightning.registry import REGISTRIES, SWEEP_REGISTRIES, target_of
from ar_lightning.schema import REQUIRED, schema_of
from ar_lightning.sections import SECTIONS, TOP_LEVEL
from ar_lightning.sweep.definition import DIRECTIONS, KEYS, METRICS, Sweep
from ar_lightning.sweep.space import grid, probes
from ar_lightning.sweep.storage import check_storage

__all__ = ["read_sweep"]

# Keys that are no plain values; `config` and `overrides` become the base.
NESTED = ("config", "overrides", "objective", "sampler", "pruner", "space")
# What the sweep itself decides for every trial.
RESERVED = ("run_dir", "experiment", "trainer.devices", "trainer.num_nodes", "trainer.threads", "tracking.")


def read_sweep(file: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and check all it says, every end point of its space included.

    Args:
        file: the sweep file.
        overrides: `key=value`, of the sweep (`trials=5`) or of the config (`trainer.max_epochs=5`).

    Raises:
        UserError: one line that says what is wrong, where, and what to do.
    """
    path = Path(file)
    content = {str(key): value for key, value in read_yaml(path).items()}
    origin = dict.fromkeys(content, str(path))
    mine, others = _split(overrides)
    for override in sorted(mine, key=lambda o: ".name=" not in o):  # a new name drops the keys of the old one
        for key, value in parse_overrides([override])[1].items():
            content[key] = _over(content.get(key), value) if key in SWEEP_REGISTRIES else value
            origin[key] = COMMAND_LINE
    known = [*NESTED, *KEYS]
    for key in content:
        if key not in known:
            raise UserError(f"{origin[key]}: no key '{key}' of a sweep{did_you_mean(key, known)}")
    for key in ("config", "space"):
        if key not in content:
            raise UserError(f"{path}: {key} is missing")
    plain = {key: _plain(origin[key], key, content[key]) for key in content if key not in NESTED}
    plain["study"] = plain.get("study") or path.stem
    if not re.fullmatch(r"[\w.-]+", plain["study"]):
        raise UserError(f"{origin['study']}: study: expected letters, digits, '-', '_' and '.', got {plain['study']}")
    config, base = _base(path, content, origin, others)
    objectives = _objectives(content.get("objective", {"metric": "val/bpd"}), origin.get("objective", path))
    several = len(objectives) > 1 or not METRICS[objectives[0]["metric"]]
    sampler = _section("sampler", content.get("sampler", "tpe"), origin.get("sampler", path))
    pruner = _section("pruner", content.get("pruner", "none" if several else "median"), origin.get("pruner", path))
    try:
        sweep = Sweep(config, base, content["space"], objectives, sampler, pruner, **plain)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    _check(sweep, path)
    return sweep


def _split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell overrides of the sweep from those of the config: sections and keys of configs have other names."""
    config = (*REGISTRIES, *SECTIONS, *TOP_LEVEL)
    of_config = [o for o in overrides if o.partition("=")[0].partition(".")[0] in config]
    return [o for o in overrides if o not in of_config], of_config


def _named(section: Any) -> dict[str, Any]:
    return {"name": section} if isinstance(section, str) else dict(section or {})


def _over(below: Any, value: Any) -> dict[str, Any]:
    """Lay keys of `sampler` or `pruner` over those below, which go where the name is another."""
    below, value = _named(below), _named(value)
    return {**(below if value.get("name", below.get("name")) == below.get("name") else {}), **value}


def _plain(where: str, key: str, value: Any) -> Any:
    field = KEYS[key]
    try:
        resolved = OmegaConf.to_container(OmegaConf.create({key: value}), resolve=True)[key]  # type: ignore
        conform(field.annotation, resolved)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}: {key}: {str(error).partition(chr(10))[0]}") from None
    except ValueError as error:
        raise UserError(f"{where}: {key}: {error}, got {yaml_text(value)}") from None
    # A storage may hold a password from the environment: it is looked up where it is needed, and never written.
    return value if key == "storage" else conform(field.annotation, resolved)


def _base(path: Path, content: dict[str, Any], origin: dict[str, str], more: list[str]) -> tuple[str, Settings]:
    """Return the config file and the settings that all trials share."""
    if not isinstance(content["config"], str):
        raise UserError(f"{origin['config']}: config: expected a file name, got {yaml_text(content['config'])}")
    config = Path(content["config"])
    if origin["config"] != COMMAND_LINE:
        config = path.parent / config
    overrides = content.get("overrides") or []
    if not isinstance(overrides, list) or not all(isinstance(o, str) for o in overrides):
        expected = "a list such as [trainer.max_epochs=20]"
        raise UserError(f"{origin['overrides']}: overrides: expected {expected}, got {yaml_text(overrides)}")
    try:
        return config.as_posix(), explicit_settings(config, [*overrides, *more])
    except UserError as error:
        where = "overrides" if str(error).startswith(COMMAND_LINE) and not more else "config"
        raise UserError(f"{path}: {where}: {str(error).removeprefix(f'{COMMAND_LINE}: ')}") from None


def _objectives(given: Any, where: object) -> list[dict[str, str]]:
    listed = given if isinstance(given, list) else [given]
    objectives = []
    for one in listed:
        one = {"metric": one} if isinstance(one, str) else one
        if not isinstance(one, dict) or not set(one) <= {"metric", "direction"}:
            example = "{metric: val/bpd, direction: minimize}"
            raise UserError(f"{where}: objective: expected {example}, or a list of two, got {yaml_text(given)}")
        metric, direction = one.get("metric", "val/bpd"), one.get("direction", "minimize")
        if metric not in METRICS:
            raise UserError(f"{where}: objective.metric: unknown metric '{metric}'{did_you_mean(metric, METRICS)}")
        if direction not in DIRECTIONS:
            hint = did_you_mean(direction, DIRECTIONS)
            raise UserError(f"{where}: objective.direction: unknown direction '{direction}'{hint}")
        objectives.append({"metric": metric, "direction": direction})
    if len(objectives) not in (1, 2) or len({o["metric"] for o in objectives}) < len(objectives):
        raise UserError(f"{where}: objective: expected one metric or two different ones, got {yaml_text(given)}")
    return objectives


def _section(section: str, given: Any, where: object) -> dict[str, Any]:
    """Return `sampler` or `pruner` with all its keys."""
    named = _named(given) if isinstance(given, (str, dict)) else {}
    if not isinstance(named.get("name"), str):
        raise UserError(f"{where}: {section}: expected a name, got {yaml_text(given)}")
    try:
        schema = schema_of(target_of(section, named["name"]))
    except UserError as error:
        raise UserError(f"{where}: {section}.name: {error}") from None
    complete: dict[str, Any] = {"name": named.pop("name")}
    for key in named:
        if key not in schema.fields:
            hint = did_you_mean(key, schema.fields) if schema.fields else "; it has none"
            raise UserError(f"{where}: {section}.{key}: no key of {complete['name']}{hint}")
    for key, field in schema.fields.items():
        value = named.get(key, field.default)
        if value is REQUIRED:
            raise UserError(f"{where}: {section}.{key} is missing: {type_name(field.annotation)}")
        try:
            complete[key] = conform(field.annotation, value)
        except ValueError as error:
            raise UserError(f"{where}: {section}.{key}: {error}, got {yaml_text(value)}") from None
    return complete


def _check(sweep: Sweep, path: Path) -> None:
    """Refuse a sweep that could only fail later."""
    check_storage(sweep.storage_url)
    several = len(sweep.objectives) > 1
    late = [o["metric"] for o in sweep.objectives if not METRICS[o["metric"]]]
    if sweep.pruner["name"] != "none" and (several or late):
        reason = "of two objectives" if several else f"by {late[0]}, which is known at the end only"
        raise UserError(f"{path}: pruner.name={sweep.pruner['name']}: trials cannot be pruned {reason}; use none")
    if sweep.sampler["name"] == "cmaes" and several:
        raise UserError(f"{path}: sampler.name=cmaes takes one objective; use nsgaii, tpe, gp or random")
    if sweep.sampler["name"] == "grid":
        _sized(sweep, path)
    elif sweep.trials is None and sweep.hours is None:
        raise UserError(f"{path}: say when to end: trials, such as trials: 40, or hours")
    for name, settings in probes(sweep.space):
        where = f"{path}: space.{name}" if name else f"{path}: space"
        _check_point(sweep, settings, where)


def _sized(sweep: Sweep, path: Path) -> None:
    try:
        points = len(grid(sweep.space))
    except ValueError as error:
        raise UserError(f"{path}: space.{error}: a grid needs step, or choices") from None
    sweep.trials = min(sweep.trials or points, points)


def _check_point(sweep: Sweep, settings: Settings, where: str) -> None:
    for key in settings:
        if key.startswith(RESERVED):
            raise UserError(f"{where}: {key} is the sweep's own, and cannot be searched")
    config = _in_place(lambda: sweep.config_of(settings, where), where)
    config["trainer"]["devices"] = sweep.devices_per_trial
    _in_place(lambda: check_config(config), where)


def _in_place(call: Callable[[], Any], where: str) -> Any:
    try:
        return call()
    except UserError as error:
        message = str(error)
        raise UserError(message if message.startswith(where) else f"{where}: {message}") from None
