"""A published number reproduced: `python run.py reproduce NAME` trains, tests, compares and keeps the small files."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ar_lightning.config.checks import check_config
from ar_lightning.config.overlay import flat, parse_overrides
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import LAST, written
from benchmarks.published.folds import cross_validate
from benchmarks.published.page import results_page
from benchmarks.published.rows import (
    ROOT,
    Reproduction,
    changed,
    keep,
    read_reproduction,
    read_reproductions,
)

__all__ = ["Reproduced", "reproduce", "run_dir_of", "write_page"]


class Reproduced(NamedTuple):
    """What came of a reproduction.

    Args:
        row: the row with this result, also where it is another experiment.
        changed: keys that make it another experiment, of which nothing is kept.
        run_dir: where the run is.
    """

    row: Reproduction
    changed: list[str]
    run_dir: Path


def reproduce(name: str, overrides: Sequence[str] = (), root: Path = ROOT) -> Reproduced | None:
    """Train a row, or go on where its training stopped, test it and keep its result; None on ranks other than 0.

    A run that is done is only compared again. With overrides that make another experiment of it, it is trained and
    compared, but nothing is kept.

    Args:
        name: stem of a config in `conf/published/`.
        overrides: `key=value` settings.
        root: the checkout that the config is read from, and its result kept in.

    Raises:
        UserError: the name or an override is wrong, the run directory holds another experiment, or as training does.
        SystemExit: Lightning's answer to Ctrl-C; the same call goes on.
    """
    row = read_reproduction(name, root)
    if row.folded and "data.fold" in parse_overrides(overrides)[1]:
        raise UserError(
            f"reproduce: data.fold: all folds are trained; one alone: run.py --config {row.file} data.fold=0"
        )
    config = load_config(row.file, overrides)
    if row.folded and config["trainer"]["devices"] not in ("auto", 1):
        raise UserError("reproduce: the folds of a table are trained on one device: leave out trainer.devices")
    if row.folded:
        config["trainer"]["devices"] = 1  # auto would be all GPUs, whose processes cannot go from fold to fold
    other = changed(row.config, flat(name, config))
    run_dir = Path(config["run_dir"]).expanduser() if config["run_dir"] else run_dir_of(name, bool(other))

    def train_fold(of_fold: dict[str, Any], fold: int) -> dict[str, Any]:
        return _train(of_fold, run_dir / f"fold-{fold}")

    result = cross_validate(config, train_fold) if row.folded else _train(config, run_dir)
    if not result:
        return None
    done = replace(row, config=flat(name, config), result=result)
    if not other:
        keep(run_dir / "fold-0" if row.folded else run_dir, row.folder, result)
        write_page(root)
    return Reproduced(done, other, run_dir)


def run_dir_of(name: str, altered: bool = False) -> Path:
    """Return where a row is trained if nothing else is said; other experiments never mix with it."""
    return Path("runs", "altered" if altered else "published", name)


def write_page(root: Path = ROOT) -> Path:
    """Write `RESULTS.md` of a checkout from its configs and kept results."""
    page = root / "RESULTS.md"
    with written(page) as partial:
        partial.write_text(results_page(read_reproductions(root), root), encoding="utf-8")
    return page


def _train(config: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """Return the result of a run: read where it is done, else trained from its last epoch on, or from the start.

    Raises:
        UserError: the directory holds something else, or as training does.
    """
    begun = (run_dir / "config.yaml").is_file()
    if begun:
        saved = flat(str(run_dir), load_config(run_dir / "config.yaml"))
        if keys := changed(flat("reproduce", config), saved):
            raise UserError(f"{run_dir}: holds a run with another {', '.join(keys)}; name another run_dir")
    elif run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise UserError(f"{run_dir}: is in use, and no run; name another run_dir")
    if (run_dir / "result.json").is_file():
        done: dict[str, Any] = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
        return done
    config = config | {"run_dir": str(run_dir)}
    dataset = check_config(config)

    from ar_lightning.training.fit import run as train  # now that all else is well: it imports PyTorch

    return train(config, dataset, run_dir, run_dir / "checkpoints" / LAST if begun else None)
