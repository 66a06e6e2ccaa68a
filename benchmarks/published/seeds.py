"""A published row trained by several seeds: `python run.py reproduce NAME --seeds N`.

The weights and the table's number are of the config's own seed; beside it stands the spread of all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ar_lightning.config.overlay import flat, parse_overrides
from ar_lightning.config.resolve import load_config
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import write_json
from benchmarks.published.reproduce import Reproduced, reproduce, run_dir_of, write_page
from benchmarks.published.rows import ROOT, SEEDS, changed, read_reproduction

__all__ = ["reproduce_seeds"]

OF_EACH = ("test/nll", "test/bpd", "val/nll", "seconds_training", "machine", "git")


def reproduce_seeds(name: str, n: int, overrides: Sequence[str] = (), root: Path = ROOT) -> Reproduced | None:
    """Train a row by n seeds, its own and those after it; None on ranks other than 0.

    A result that is kept stands for its own seed. The others are trained beside its run directory, in `DIR-seed-1`, and
    go on there by the same call.

    Args:
        name: stem of a config in `conf/published/`.
        n: number of seeds, 2 or more.
        overrides: `key=value` settings that leave the experiment what it is.
        root: the checkout.

    Raises:
        UserError: fewer than two seeds, an override makes another experiment of the row, or as `reproduce`.
    """
    if n < 2:
        raise UserError(f"reproduce: --seeds {n} has no spread; give 2 or more")
    row = read_reproduction(name, root)
    given = parse_overrides(overrides)[1]
    if "seed" in given:
        raise UserError("reproduce: --seeds counts from the config's own seed; leave out seed=...")
    if other := changed(row.config, flat(name, load_config(row.file, overrides))):
        raise UserError(f"reproduce --seeds: {', '.join(other)}: makes another experiment of it; leave it out")
    base, first = given.get("run_dir") or run_dir_of(name), int(row.config["seed"])
    results: dict[str, Any] = {}
    for seed in range(first, first + n):
        if seed == first and row.result is not None:
            results[str(seed)] = row.result
            continue
        own = [*overrides, f"seed={seed}", f"run_dir={base}-seed-{seed}"] if seed > first else overrides
        found = reproduce(name, own, root)
        if found is None or found.row.result is None:
            return None
        results[str(seed)] = found.row.result
    write_json(
        {seed: {key: result[key] for key in OF_EACH if key in result} for seed, result in results.items()},
        row.folder / SEEDS,
    )
    write_page(root)
    return Reproduced(read_reproduction(name, root), [], Path(base))
