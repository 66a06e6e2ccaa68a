"""A trained density as a small folder, without the state of its training: `python run.py export RUN --out DIR`."""

import shutil
from pathlib import Path
from typing import Any

from ar_lightning.config.resolve import save_config
from ar_lightning.core.errors import UserError, of_the_system
from ar_lightning.core.files import CHECKPOINT_KEY, LAST, WEIGHTS, write_json, written
from ar_lightning.core.notice import notice
from ar_lightning.core.reading import read_json, samples_of
from ar_lightning.inference.open import SavedRun, folder_of, read_run
from ar_lightning.training.weights import write_weights

__all__ = ["export", "write_density"]


def export(run: str, out: str | Path) -> dict[str, Path]:
    """Write `model.safetensors`, `config.yaml` and, where there are any, `result.json` and samples; return the files.

    Any command that needs weights alone takes the folder, or the file of weights, for a run.

    Args:
        run: the run directory or checkpoint.
        out: a new or an empty folder.

    Raises:
        UserError: the run cannot be used, or the folder is in use.
    """
    saved, folder = read_run(run), Path(out).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("is in use", f"--out {folder}", "name a new or an empty folder")
    own = folder_of(saved.file)
    try:
        files = write_density(saved, folder)
        if not _is_result_of(saved, own / "result.json"):
            return files
        result = {key: value for key, value in read_json(own / "result.json").items() if key != "pictures"}
        write_json(result, folder / "result.json")
        files["result"] = folder / "result.json"
        for name, source in samples_of(own).items():
            with written(folder / name) as partial:
                shutil.copy(source, partial)
            files["samples"] = folder / name
    except OSError as error:
        raise of_the_system(error) from None
    return files


def write_density(saved: SavedRun, folder: Path) -> dict[str, Path]:
    """Write the weights and the config of a run, whose density is built once to see that it can be."""
    saved.density()
    files = {"weights": folder / WEIGHTS, "config": folder / "config.yaml"}
    write_weights(saved.checkpoint, files["weights"])
    config: dict[str, Any] = saved.checkpoint[CHECKPOINT_KEY]["config"]
    save_config({key: value for key, value in config.items() if key != "run_dir"}, files["config"])
    return files


def _is_result_of(saved: SavedRun, file: Path) -> bool:
    """Return whether a result is of the weights of a run, whose checkpoints are of several steps."""
    if not file.is_file():
        return False
    tested, step = read_json(file).get("tested_step"), int(saved.checkpoint["global_step"])
    if tested == step or (
        tested is None and saved.file.name != LAST
    ):  # null: of an older version, which tested the best
        return True
    notice(f"{file}: is of other weights than these, of step {step}; it is left out, with the samples")
    return False
