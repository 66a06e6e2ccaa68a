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

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ar_lightning.config.bundled import find, folder_of
from ar_lightning.config.checks import check_config
from ar_lightning.config.overlay import COMMAND_LINE, Settings, parse_overrides, read_yaml
from ar_lightning.config.registry import REGISTRIES, target_of
from ar_lightning.config.resolve import explicit_settings
from ar_lightning.config.schema import schema_of
from ar_lightning.config.sections import SECTIONS, TOP_LEVEL, section_schema, takes
from ar_lightning.config.values import check_value, plain, type_name, yaml_text
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.sweep.definition import DIRECTIONS, KEYS, Sweep
from ar_lightning.sweep.slots import groups_of
from ar_lightning.sweep.space import grid, probes
from ar_lightning.sweep.storage import check_storage
from ar_lightning.training.locate import start_of
from ar_lightning.training.trial_pipe import METRICS

__all__ = ["read_sweep"]

# Keys that are no plain values; `config` and `overrides` become the base.
NESTED = ("config", "overrides", "objective", "sampler", "pruner", "space")
KNOWN = [*NESTED, *KEYS]
MERGED = ("sampler", "pruner", "objective")  # whose keys can be overridden one by one
# What the sweep itself decides for every trial.
RESERVED = ("run_dir", "experiment", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.threads")
INSTEAD = {"run_dir": "sweep_dir", "experiment": "study"}


def read_sweep(file: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and check all it says, every end point of its space included.

    Overrides are `key=value`, of the sweep (`trials=5`) or of the config (`trainer.max_epochs=5`).
    """
    path = find("sweeps", str(file))
    config_keys = (*REGISTRIES, *SECTIONS, *TOP_LEVEL)  # sections and keys of configs; those of sweeps differ
    others = [o for o in overrides if o.partition("=")[0].partition(".")[0] in config_keys]
    mine = [o for o in overrides if o not in others]
    content, origin = _content(path, mine)
    for key in content:
        if key not in KNOWN:
            hint = did_you_mean(key, [*KNOWN, *REGISTRIES, *SECTIONS] if origin[key] == COMMAND_LINE else KNOWN)
            raise UserError(f"no key '{key}' of a sweep", origin[key], hint)
    for key in ("config", "space"):
        if key not in content:
            raise UserError(f"{key} is missing", path)
    own = {key: _own(origin[key], key, content[key]) for key in content if key not in NESTED}
    own["study"] = own.get("study") or path.stem
    if not re.fullmatch(r"\w[\w.-]*", own["study"]):
        problem = f"study: expected letters, digits, '-', '_' and '.', got {yaml_text(own['study'])}"
        raise UserError(problem, origin["study"])
    config, base = _base(path, content, origin, others)
    if path != Path(file) and Path(config).is_relative_to(conf := folder_of("conf")):  # found by name:
        config = Path("conf", Path(config).relative_to(conf)).as_posix()  # one study wherever the package is installed
    objectives = _objectives(content.get("objective", "val/bpd"), origin["objective"])
    late = len(objectives) > 1 or not METRICS[objectives[0]["metric"]].each_epoch
    sampler = _section("sampler", content.get("sampler", "tpe"), origin["sampler"])
    pruner = _section("pruner", content.get("pruner", "none" if late else "median"), origin["pruner"])
    try:
        sweep = Sweep(config, base, _as_declared(content["space"]), objectives, sampler, pruner, **own)
        check_storage(sweep.storage_url)
        _check_search(sweep)
        _check_points(sweep)
    except UserError as error:
        raise error.under(path) from None
    return sweep


def _content(path: Path, overrides: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the file's keys with the overrides laid over them, and where each is from."""
    content = {str(key): value for key, value in read_yaml(path).items()}
    origin = dict.fromkeys([*KNOWN, *content], str(path))
    # Names first: a new one drops the keys of the old one.
    for override in sorted(overrides, key=lambda o: not re.match(r"\w+(\.name)?=", o)):
        for key, value in parse_overrides([override])[1].items():
            content[key] = _over(content.get(key), value) if key in MERGED else value
            origin[key] = COMMAND_LINE
    return content, origin


def _over(below: Any, value: Any) -> Any:
    """Lay keys of `sampler`, `pruner` or `objective` over those below, which go where the name is another."""
    if not isinstance(value, dict):
        return value
    below = {"name": below} if isinstance(below, str) else below if isinstance(below, dict) else {}
    return {**(below if value.get("name", below.get("name")) == below.get("name") else {}), **value}


def _own(where: str, key: str, value: Any) -> Any:
    """Return the value of a key of the sweep's own."""
    if "${" not in str(value):
        return check_value(KEYS[key].annotation, value, key, where)
    try:
        resolved = OmegaConf.to_container(OmegaConf.create({key: value}), resolve=True)[key]  # type: ignore
    except OmegaConfBaseException as error:
        problem = re.sub(r"^\w+ raised while resolving interpolation: ", "", str(error).splitlines()[0]).strip('"')
        raise UserError(f"{key}: {problem}", where) from None
    checked = check_value(KEYS[key].annotation, resolved, key, where)
    # A storage may hold a password from the environment: it is looked up where it is needed, and never written.
    return value if key == "storage" else checked


def _as_declared(space: Any) -> Any:
    """Return a space as plain containers; a choice for a key that takes text stays as it was written."""
    if not isinstance(space, dict):
        return plain(space)
    declared: dict[Any, Any] = {}
    for key, given in space.items():

        def value_of(value: Any, key: Any = key) -> Any:
            written = getattr(value, "written", None)
            return plain(value) if written is None or not _takes_text(str(key)) else written

        choices = given.get("choices") if isinstance(given, dict) else None
        if isinstance(choices, list):
            declared[key] = {**plain(given), "choices": [value_of(choice) for choice in choices]}
        elif isinstance(choices, dict):
            inside = {value_of(choice): _as_declared(branch) for choice, branch in choices.items()}
            declared[key] = {**plain(given), "choices": inside}
        else:
            declared[key] = value_of(given)
    return declared


def _takes_text(key: str) -> bool:
    section, _, name = key.rpartition(".")
    chosen = [n for n in REGISTRIES.get(section, ()) if takes(section, n, name)] or [None][: section in SECTIONS]
    fields = [section_schema(section, n).fields[name] for n in chosen if name in section_schema(section, n).fields]
    return any("str" in type_name(field.annotation).split() for field in fields)


def _base(path: Path, content: dict[str, Any], origin: dict[str, str], more: list[str]) -> tuple[str, Settings]:
    """Return the config file and the settings that all trials share."""
    if not isinstance(content["config"], str):
        raise UserError(f"config: expected a file name, got {yaml_text(content['config'])}", origin["config"])
    config = Path(content["config"])
    if origin["config"] != COMMAND_LINE:
        config = Path(os.path.normpath(path.parent / config))
    listed = content.get("overrides") or []
    if not isinstance(listed, list) or not all(isinstance(o, str) for o in listed):
        expected = "a list such as [trainer.max_epochs=20]"
        raise UserError(f"overrides: expected {expected}, got {yaml_text(listed)}", origin["overrides"])
    groups = {f"{origin['overrides']}: overrides": listed, COMMAND_LINE: more}
    for where, overrides in groups.items():
        for override in overrides:
            if (key := override.partition("=")[0]) in INSTEAD:
                raise UserError(f"{key} is the sweep's own", where, f"set {INSTEAD[key]} instead")
    try:
        overlays = [parse_overrides(overrides, where) for where, overrides in groups.items() if overrides]
        return config.as_posix(), explicit_settings(config, *overlays)
    except UserError as error:
        raise (error if error.where in groups else error.under(f"{path}: config")) from None


def _objectives(given: Any, where: str) -> list[dict[str, str]]:
    listed = given if isinstance(given, list) else [given]
    objectives = []
    for one in listed:
        one = {"metric": one} if isinstance(one, str) else one
        if not isinstance(one, dict) or not set(one) <= {"metric", "direction"}:
            example = "{metric: val/bpd, direction: minimize}"
            raise UserError(f"objective: expected {example}, or a list of two, got {yaml_text(given)}", where)
        metric = str(one.get("metric", "val/bpd"))
        if metric not in METRICS:
            raise UserError(f"objective.metric: unknown metric '{metric}'", where, did_you_mean(metric, METRICS))
        direction = str(one.get("direction", "maximize" if metric.endswith("_per_second") else "minimize"))
        if direction not in DIRECTIONS:
            hint = did_you_mean(direction, DIRECTIONS)
            raise UserError(f"objective.direction: unknown direction '{direction}'", where, hint)
        objectives.append({"metric": metric, "direction": direction})
    if len(objectives) not in (1, 2) or len({o["metric"] for o in objectives}) < len(objectives):
        raise UserError(f"objective: expected one metric or two different ones, got {yaml_text(given)}", where)
    return objectives


def _section(section: str, given: Any, where: str) -> dict[str, Any]:
    """Return `sampler` or `pruner` with all its keys."""
    named = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, dict) else {}
    if not isinstance(named.get("name"), str):
        raise UserError(f"{section}: expected a name, got {yaml_text(given)}", where)
    try:
        schema = schema_of(target_of(section, named["name"]))
    except UserError as error:
        raise UserError(f"{section}.name: {error.problem}", where, error.hint) from None
    complete: dict[str, Any] = {"name": named.pop("name")}
    for key in named:
        if key not in schema.fields:
            hint = did_you_mean(key, schema.fields) if schema.fields else "; it has none"
            raise UserError(f"{section}.{key}: no key of {complete['name']}", where, hint)
    for key, field in schema.fields.items():
        complete[key] = check_value(field.annotation, named.get(key, field.default), f"{section}.{key}", where)
    return complete


def _check_search(sweep: Sweep) -> None:
    """Refuse a search that could only fail later."""
    sampler, pruner = sweep.sampler["name"], sweep.pruner["name"]
    several = len(sweep.objectives) > 1
    late = [o["metric"] for o in sweep.objectives if not METRICS[o["metric"]].each_epoch]
    if pruner != "none" and (several or late):
        reason = "of two objectives" if several else f"by {late[0]}, which is known at the end only"
        raise UserError(f"pruner.name={pruner}: trials cannot be pruned {reason}; use none")
    if sampler == "cmaes" and several:
        raise UserError("sampler.name=cmaes takes one objective; use nsgaii, tpe, gp or random")
    if sampler == "grid":
        try:
            points = len(grid(sweep.space))
        except ValueError as error:
            raise UserError(str(error), "space") from None
        sweep.trials = min(sweep.trials or points, points)
    elif sweep.trials is None and sweep.hours is None:
        raise UserError("say when to end: trials, such as trials: 40, or hours")


def _check_points(sweep: Sweep) -> None:
    """Refuse a config that cannot be trained, and a space that leads to one."""
    config = _checked(sweep, {}, f"config {sweep.config}")
    if sweep.devices is not None:
        groups_of(sweep.devices, sweep.devices_per_trial, config["trainer"]["accelerator"])
    if (devices := sweep.base.get("trainer.devices", "auto")) not in ("auto", -1, sweep.devices_per_trial):
        raise UserError(f"trainer.devices={devices}, but devices_per_trial={sweep.devices_per_trial}; change either")
    if (nodes := config["trainer"]["num_nodes"]) > 1:
        raise UserError(f"trainer.num_nodes={nodes}: a trial runs on one machine; override it with 1")
    for settings in probes(sweep.space):
        for key in settings:
            if key in RESERVED or key.startswith("tracking."):
                raise UserError("is the sweep's own, and cannot be searched", f"space.{key}")
        point = _checked(sweep, settings, "space")
        sweep.check_validated(point)
    least, longest = sweep.pruner.get("min_epochs", 0), sweep.max_epochs
    if least >= longest:
        raise UserError(
            f"pruner.min_epochs={least}: no trial lasts longer than {longest} epochs; lower it, or use none"
        )


def _checked(sweep: Sweep, settings: Settings, where: str) -> dict[str, Any]:
    """Return the config of a point that can be trained."""
    try:
        config = sweep.config_of(settings, where)
        config["trainer"]["devices"] = sweep.devices_per_trial
        check_config(config)
        start_of(config)
    except UserError as error:
        raise error.under(where) from None
    return config
