"""The weights of a published row put in the zoo: `python run.py reproduce NAME --zoo`.

They go into `zoo/NAME/` as float32, with config, result and samples; `ar_lightning/training/zoo.json`, the
list that comes with the package, gets an entry. It takes the run, which `reproduce NAME` has left, or its checkpoint.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch

from ar_lightning.config.overlay import flat
from ar_lightning.core.condition import rows_of
from ar_lightning.core.errors import UserError
from ar_lightning.core.files import write_json, written
from ar_lightning.core.reading import read_json, samples_of
from ar_lightning.data.module import ArrayDataModule
from ar_lightning.density.density import Density
from ar_lightning.inference.export import write_density
from ar_lightning.inference.open import SavedRun, read_run
from benchmarks.published.rows import ROOT, Reproduction, changed, read_reproduction

__all__ = ["FEW", "LARGEST", "put_in_zoo", "quick_nll"]

LARGEST = 4_000_000  # bytes of weights
FEW = 500  # test examples of the quick number
BATCH = 100


def put_in_zoo(name: str, run: str | Path, root: Path = ROOT) -> Path:
    """Export a run of a row into the zoo and list it; return its folder.

    Args:
        name: of the row, which has a result.
        run: the run directory or checkpoint.
        root: the checkout.

    Raises:
        UserError: the row has no result yet, the weights are not of it, or they are too large.
    """
    row = read_reproduction(name, root)
    saved = read_run(run)
    result = _checked(row, saved)
    folder = root / "zoo" / name
    write_density(saved, folder)
    write_json(result | {"command": f"python run.py reproduce {name}"}, folder / "result.json")
    for sample, source in samples_of(row.folder).items():
        with written(folder / sample) as partial:
            shutil.copy(source, partial)
    examples, nll = quick_nll(saved.density(), saved.data())
    _list(root, name, {
        "test": row.ours, "published": f"{row.published.value:.2f} {row.published.unit}" if row.published else "",
        "regime": result["regime"], "parameters": result["parameters"], "quick": {"examples": examples, "nll": nll},
        "files": {file.name: _known(file) for file in sorted(folder.iterdir())},
    })  # fmt: skip
    return folder


@torch.no_grad()
def quick_nll(density: Density, data: ArrayDataModule, n: int = FEW) -> tuple[int, float]:
    """Return how many test examples, spread over all, are scored, and their mean nats in float32.

    They are n at most; of a mixture fewer, since each member takes a pass of its own.
    """
    x, given = data.split("test", n // density.model.members)
    parts = torch.arange(len(x)).split(BATCH)
    total = sum(float(-density.log_prob(x[rows], rows_of(given, rows)).double().sum()) for rows in parts)
    return len(x), total / len(x)


def _checked(row: Reproduction, saved: SavedRun) -> dict[str, Any]:
    """Return the result of a row, if the weights of a run are those that it is of."""
    if row.result is None or row.folded:
        raise UserError(f"{row.name}: has no result of one run; `python run.py reproduce {row.name}` trains it")
    if keys := changed(row.config, flat(row.name, saved.config)):
        raise UserError(f"{saved.file}: is of another {', '.join(keys)} than {row.name}")
    step = saved.checkpoint["global_step"]
    if step != (tested := row.result.get("tested_step", step)):  # older results do not say
        raise UserError(f"{saved.file}: is of step {step}, and the result of {row.name} of step {tested}")
    size = sum(w.numel() * w.element_size() for w in saved.checkpoint["state_dict"].values())
    if size > LARGEST:
        raise UserError(f"{saved.file}: {size / 1e6:.1f} MB of weights; the zoo takes {LARGEST / 1e6:.0f}")
    return row.result


def _known(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _list(root: Path, name: str, about: dict[str, Any]) -> None:
    """Write an entry of the package's list, in the order of names."""
    path = root / "ar_lightning" / "training" / "zoo.json"
    listed = read_json(path) if path.is_file() else {"url": None, "models": {}}
    models = listed["models"] | {name: about}
    write_json(listed | {"models": dict(sorted(models.items()))}, path)
