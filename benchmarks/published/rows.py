"""The rows to reproduce: configs in `conf/published/`, the numbers published for them, and the results kept here.

The small files of a run are kept in `benchmarks/results/`. This module does not import PyTorch.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ar_lightning.config.overlay import Settings, flat
from ar_lightning.config.resolve import explicit_settings, load_config
from ar_lightning.core.errors import UserError, did_you_mean
from ar_lightning.core.files import write_json, written
from ar_lightning.core.reading import samples_of
from ar_lightning.inference.compare.published import PUBLISHED, Published, published_for, published_like

__all__ = ["ROOT", "SEEDS", "Reproduction", "changed", "keep", "kept_in", "read_reproduction", "read_reproductions"]

ROOT = Path(__file__).parents[2]
SEEDS = "seeds.json"  # in the folder of a row: the results of several seeds
KEPT = ("metrics.csv", "curves.png")
# Settings that leave an experiment what it is: where it runs and how it is watched.
FREE = ("run_dir", "tracking.", "samples.", "data.data_dir", "trainer.accelerator", "trainer.devices",
        "trainer.num_nodes", "trainer.strategy", "trainer.precision", "trainer.threads", "trainer.progress",
        "trainer.log_every", "trainer.compile")  # fmt: skip


@dataclass(frozen=True)
class Reproduction:
    """A row: a config and, where it was run, its result.

    Args:
        name: stem of the config.
        file: the config.
        config: its complete settings by dotted key.
        stated: those that it and its bases state.
        folder: where its result is kept.
        result: content of `result.json`, of one run or of all folds; None if it was not run yet.
        seeds: content of `seeds.json`, results by seed; empty if there is one alone.
    """

    name: str
    file: Path
    config: Settings
    stated: Settings
    folder: Path
    result: dict[str, Any] | None
    seeds: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folded(self) -> bool:
        """Whether it is the mean over the folds of a table."""
        return "data.fold" in self.config

    @property
    def published(self) -> Published | None:
        """What is published of this kind of density."""
        return published_like(self.config)

    @property
    def unit(self) -> str:
        """That of the published value; where there is none, that of the values that are published of these data.

        Rows of mixed columns have no bits/dim.
        """
        if self.result is not None and "test/bpd" not in self.result:
            return "nats"
        known = [p.unit for p in PUBLISHED if p.data == self.config["data.name"]]
        return self.published.unit if self.published else next(iter(known), "bits/dim")

    @property
    def ours(self) -> str:
        """Our value in the unit of the published one, with the standard error over folds; empty if not run yet."""
        if self.result is None:
            return ""
        if self.unit == "bits/dim":
            return f"{self.result['test/bpd']:.3f} bits/dim"
        error = f" ± {self.result['standard_error_of_test']:.2f}" if self.folded else ""
        return f"{self.result['test/nll']:.2f}{error} nats"

    @property
    def spread(self) -> str:
        """Mean and standard deviation over seeds; empty if there is one alone."""
        if not self.seeds:
            return ""
        digits, key = (3, "test/bpd") if self.unit == "bits/dim" else (2, "test/nll")
        values = [result[key] for result in self.seeds.values()]
        return f"{fmean(values):.{digits}f} ± {stdev(values):.{digits}f} over {len(values)} seeds"

    @property
    def difference(self) -> float | None:
        """Ours less the published value, in the unit of the latter; below zero is better."""
        if self.result is None or self.published is None:
            return None
        return float(self.result["test/nll" if self.published.unit == "nats" else "test/bpd"]) - self.published.value

    @property
    def comparable(self) -> bool:
        """Whether ours is of the very test examples of the published value."""
        return self.result is not None and published_for(self.result, self.config) is not None

    @property
    def reached(self) -> bool:
        """Whether ours is at or below the published value, rounded to two digits as that is."""
        return self.difference is not None and round(self.difference, 2) <= 0

    @property
    def verdict(self) -> str:
        """How ours compares, or why there is nothing to compare."""
        if self.result is None:
            return "not run yet" + (": needs a GPU" if self.config["trainer.accelerator"] == "gpu" else "")
        if self.difference is None or self.published is None:
            return "no published value"
        above = f"{self.difference:.2f} {self.published.unit} above"
        text = "at or below the published value" if self.reached else above
        return text if self.comparable else f"{text}, but on other test examples"


def read_reproductions(root: Path = ROOT) -> list[Reproduction]:
    """Return all rows of a checkout.

    Raises:
        UserError: it has none, or a file cannot be read.
    """
    files = sorted((root / "conf" / "published").glob("*.yaml"))
    if not files:
        raise UserError(f"{root}: no conf/published there; reproduce in a checkout of the project")
    return [_read(file, root) for file in files]


def read_reproduction(name: str, root: Path = ROOT) -> Reproduction:
    """Return the row of this name.

    Raises:
        UserError: there is none, or its files cannot be read.
    """
    file = root / "conf" / "published" / f"{name}.yaml"
    if not file.is_file():
        names = [path.stem for path in file.parent.glob("*.yaml")]
        raise UserError(f"reproduce: no config '{name}' in conf/published{did_you_mean(name, names)}")
    return _read(file, root)


def changed(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the keys by which two configs are different experiments.

    Args:
        ours: settings by dotted key.
        theirs: settings of the other one.
    """
    keys = [key for key in {**ours, **theirs} if not key.startswith(FREE)]
    return [key for key in keys if ours.get(key) != theirs.get(key)]


def keep(run_dir: Path, folder: Path, result: Mapping[str, Any]) -> None:
    """Copy the small files of a run into the repository, without the paths of this machine.

    Args:
        run_dir: a run that is done.
        folder: where they go.
        result: what `result.json` shall be.
    """
    text = (run_dir / "config.yaml").read_text(encoding="utf-8")
    own = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("run_dir:"))
    with written(folder / "config.yaml") as partial:
        partial.write_text(own, encoding="utf-8")
    for name, source in ({name: run_dir / name for name in KEPT} | samples_of(run_dir)).items():
        if source.exists():
            with written(folder / name) as partial:
                shutil.copy(source, partial)
    write_json({key: value for key, value in result.items() if key != "pictures"}, folder / "result.json")


def kept_in(config: Settings, root: Path = ROOT) -> Path:
    """Return the folder in which the result of a config, given by dotted key, is kept."""
    data = config["data.name"]
    has_folds = "data.fold" in config and data != "table"  # one of those that are known
    name = Path("uci", data) if has_folds else Path(data, config["experiment"].removesuffix(f"_{data}"))
    return root / "benchmarks" / "results" / name


def _read(file: Path, root: Path) -> Reproduction:
    config = flat(str(file), load_config(file))
    folder = kept_in(config, root)
    kept = folder / "result.json"
    result, seeds = (json.loads(f.read_text(encoding="utf-8")) if f.is_file() else None for f in (kept, folder / SEEDS))
    return Reproduction(file.stem, file, config, explicit_settings(file), folder, result, seeds or {})
