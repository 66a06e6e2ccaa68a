"""What a sweep is: an experiment, a space, how to search it, and where it is kept."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ar_lightning.config.checks import check_validated
from ar_lightning.config.overlay import Settings, read_yaml
from ar_lightning.config.resolve import resolve
from ar_lightning.config.schema import schema_of
from ar_lightning.config.values import check_value
from ar_lightning.core.errors import UserError
from ar_lightning.core.fields import Hours, PositiveFloat, PositiveInt
from ar_lightning.core.files import written
from ar_lightning.sweep.space import parse_space, probes
from ar_lightning.training.trial_pipe import METRICS

__all__ = ["DIRECTIONS", "KEYS", "Sweep", "saved_sweep"]


DIRECTIONS = ("minimize", "maximize")
SAVED = "sweep.yaml"
KEYS = schema_of("ar_lightning.sweep.definition:Sweep").fields  # the plain keys of a sweep file


class Sweep:
    """What to search, how, and where it is kept.

    Args:
        config: the config file, for people.
        base: explicit settings of that config and the overrides, by dotted key.
        space: the search space as plain containers.
        objectives: metric and direction, one or two of them.
        sampler: `name` and its keys.
        pruner: `name` and its keys.
        study: the sweep's name, the same on all machines; the sweep file's name if null.
        trials: trials to finish: complete, pruned, or failed by themselves.
        hours: start no trial after so many hours of this command.
        storage: journal, a file in the sweep's directory, or postgresql://USER@HOST/DATABASE for several machines.
        workers: trials at the same time on this machine; one for each group of devices if null.
        devices: groups of GPUs, such as '0,1;2,3'; those that are visible, shared out, if null.
        devices_per_trial: devices of a trial, DDP over them; on a CPU, processes.
        baseline: begin with the config's own values, where they lie in the space.
        lease: seconds without a sign of life after which a worker is taken for dead.
        sweep_dir: where everything is kept; runs/sweeps/STUDY if null.
    """

    def __init__(
        self,
        config: str,
        base: Settings,
        space: Any,
        objectives: list[dict[str, str]],
        sampler: dict[str, Any],
        pruner: dict[str, Any],
        *,
        study: str | None = None,
        trials: PositiveInt | None = None,
        hours: Hours | None = None,
        storage: str = "journal",
        workers: PositiveInt | None = None,
        devices: str | None = None,
        devices_per_trial: PositiveInt = 1,
        baseline: bool = True,
        lease: PositiveFloat = 20.0,
        sweep_dir: str | None = None,
    ) -> None:
        self.config, self.base, self.raw_space, self.objectives = config, base, space, objectives
        self.space = parse_space(space, "space")
        self.sampler, self.pruner = sampler, pruner
        self.study = study or Path(config).stem
        self.trials, self.hours, self.storage = trials, hours, storage
        self.workers, self.devices, self.devices_per_trial = workers, devices, devices_per_trial
        self.baseline, self.lease = baseline, lease
        self.folder = Path(sweep_dir or Path("runs", "sweeps", self.study)).expanduser()

    @property
    def definition(self) -> dict[str, Any]:
        """What makes trials comparable, as JSON keeps it: two sweeps of one study must agree on it."""
        parts = {"config": self.config, "base": self.base, "space": self.raw_space, "objectives": self.objectives}
        return json.loads(json.dumps(parts))

    @property
    def storage_url(self) -> str:
        """The storage, with what the environment fills in."""
        return str(OmegaConf.to_container(OmegaConf.create({"at": self.storage}), resolve=True)["at"])  # type: ignore

    @property
    def max_epochs(self) -> int:
        """Epochs of the longest trial."""
        configs = (self.config_of(settings) for settings in ({}, *probes(self.space)))
        return max(config["trainer"]["max_epochs"] for config in configs)

    def config_of(self, settings: Settings, where: str = "space") -> dict[str, Any]:
        """Return the complete config of a trial."""
        return resolve({"experiment": self.study, **self.base}, settings, where)

    def check_validated(self, config: dict[str, Any], steps: int | None = None) -> None:
        """Refuse a trial that would end before its first validation, if it is judged by validations."""
        if any(METRICS[objective["metric"]].each_epoch for objective in self.objectives):
            check_validated(config["trainer"], steps)

    def save(self) -> None:
        """Write `sweep.yaml` into the sweep's directory, for workers and reports; passwords stay in the environment."""
        plain = {key: getattr(self, key) for key in KEYS if key not in ("study", "sweep_dir")}
        plain |= {"study": self.study, "sweep_dir": str(self.folder), **self.definition}
        plain |= {"sampler": self.sampler, "pruner": self.pruner}
        with written(self.folder / SAVED) as partial:
            partial.write_text(OmegaConf.to_yaml(OmegaConf.create({"sweep": plain})), encoding="utf-8")


def saved_sweep(folder: Path) -> Sweep:
    """Return the sweep of a sweep directory."""
    file = folder / SAVED
    if not file.is_file():
        raise UserError(f"{folder}: no {SAVED} there, so it is no directory of a sweep")
    content = read_yaml(file).get("sweep")
    if not isinstance(content, dict) or not {"base", "space", "objectives"} <= set(content):
        raise UserError(f"{file}: not written by a sweep")
    plain = {k: check_value(KEYS[k].annotation, v, k, str(file)) for k, v in content.items() if k in KEYS}
    try:
        return Sweep(**{**content, **plain})
    except TypeError:  # keys that are missing, or unknown
        raise UserError("not as a sweep has written it", file, "give back a copy of it") from None
