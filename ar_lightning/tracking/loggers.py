"""The loggers of a run: metrics.csv in its directory, Weights & Biases, and TensorBoard if asked for.

W&B is online if a key is at hand, else offline. It can never fail a training: an error there costs one line, and the
run stays in its directory for `wandb sync`.
"""

import csv
from argparse import Namespace
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

from ar_lightning.tracking.csv import CSVMetrics
from ar_lightning.tracking.tensorboard import TensorBoard
from ar_lightning.tracking.wandb_run import WandbRun, training_run

__all__ = ["Wandb", "make_loggers"]


def make_loggers(
    run_dir: Path,
    config: dict[str, Any],
    *,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    project: str = "ar_lightning",
    entity: str | None = None,
    id: str | None = None,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: list[str] = [],  # noqa: B006 - read, never changed
    checkpoints: bool = True,
    tensorboard: bool = False,
) -> list[Logger]:
    """The loggers of a run: metrics.csv, W&B unless disabled, and TensorBoard if asked for.

    Args:
        mode: W&B mode; auto goes online where an API key is at hand, else offline. WANDB_MODE overrides.
        project: W&B project.
        entity: W&B user or team; your default one if null.
        id: id of the W&B run, unique in its project; a new one if null. What is no letter, digit, '_', '-' or '.'
            becomes '-'. A resumed training keeps the id it has.
        name: name of the W&B run; experiment/run directory if null.
        group: W&B group, such as a sweep.
        job_type: W&B job type, what a run is within its group.
        tags: W&B tags.
        checkpoints: upload the best checkpoint as a W&B artifact.
        tensorboard: also write metrics and samples for TensorBoard, to RUN/tensorboard.
    """
    tracking = {
        "mode": mode, "project": project, "entity": entity, "id": id, "name": name, "group": group,
        "job_type": job_type, "tags": tags,
    }  # fmt: skip
    run = training_run(run_dir, config, tracking, rank_zero_info)
    return [
        CSVMetrics(run_dir / "metrics.csv"),
        *([Wandb(run, checkpoints)] if run else []),
        *([TensorBoard(run_dir)] if tensorboard else []),
    ]


class Wandb(Logger):
    """The W&B run of a training, on rank zero; with `checkpoints`, it uploads the best one."""

    name, version = "wandb", ""

    def __init__(self, wandb_run: WandbRun, checkpoints: bool) -> None:
        super().__init__()
        self.wandb_run, self.checkpoints = wandb_run, checkpoints

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`, begun when it is first asked for; None if it cannot be."""
        return self.wandb_run.run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the config was given at the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.wandb_run.log("log metrics", lambda: metrics, step)

    @rank_zero_only
    def log_file(self, key: str, path: Path, step: int, caption: str) -> None:
        """Show a file under `key`: a picture, a recording, text or a table."""
        self.wandb_run.log("log a file", lambda: {key: _shown(path, caption)}, step)

    @rank_zero_only
    def finish(self, summary: Mapping[str, Any], checkpoint: Path | None, exit_code: int = 0) -> None:
        """Upload the best checkpoint, if there is one, and end the run, within W&B's time limit.

        The summary has the final numbers, and how the run ended: `state` and, if it failed, `reason`.
        """
        run = self.wandb_run
        run.summarise(summary)
        if run.run and self.checkpoints and checkpoint is not None:
            run.attempt("upload the checkpoint", lambda: _upload(run.run, checkpoint, summary))
        run.finish(exit_code)


def _upload(run: Any, checkpoint: Path, summary: Mapping[str, Any]) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(summary))
    # Immutable: sent from where it is, not from a copy in the home directory.
    artifact.add_file(str(checkpoint.resolve()), name="best.ckpt", policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=["best", "latest"])


def _shown(path: Path, caption: str) -> Any:
    """Return the W&B object that shows a file."""
    import wandb

    match path.suffix:
        case ".png":
            return wandb.Image(str(path), caption=caption)
        case ".wav":
            return wandb.Audio(str(path), caption=caption)
        case ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            columns = [_typed([row[d] for row in rows]) for d in range(len(header))]
            return wandb.Table(columns=[*header], data=[list(row) for row in zip(*columns, strict=True)])
    return wandb.Html(f"<pre>{escape(path.read_text(encoding='utf-8'))}</pre>")


def _typed(cells: list[str]) -> list[float | str | None]:
    """Return the cells of a column as numbers where all are; None for an empty one."""
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]
