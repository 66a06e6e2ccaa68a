"""Where a run's numbers go: `metrics.csv` in its directory, and Weights & Biases.

W&B is online where a key is at hand, else offline; it can never fail a training run.
"""

import csv
import json
import logging
import os
import secrets
import threading
from argparse import Namespace
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

__all__ = ["CSVMetrics", "Wandb", "make_loggers", "wandb_mode"]

log = logging.getLogger(__name__)
FINISH_SECONDS = 60  # how long to wait for the last upload


def make_loggers(
    run_dir: Path,
    config: dict[str, Any],
    *,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    project: str = "ar_lightning",
    entity: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: list[str] = [],  # noqa: B006 - read, never changed
    checkpoints: bool = True,
) -> list[Logger]:
    """The loggers of a run: metrics.csv, and W&B unless disabled.

    Args:
        mode: W&B mode; auto goes online where an API key is at hand, else offline. WANDB_MODE overrides.
        project: W&B project.
        entity: W&B user or team; your default one if null.
        name: name of the W&B run; experiment/run directory if null.
        group: W&B group, such as a sweep.
        tags: W&B tags.
        checkpoints: upload the best checkpoint as a W&B artifact.
    """
    loggers: list[Logger] = [CSVMetrics(run_dir / "metrics.csv")]
    chosen = wandb_mode(mode)
    if chosen != "disabled":
        name = name or f"{config['experiment']}/{run_dir.name}"
        start = {"project": project, "entity": entity, "name": name, "group": group, "tags": tags or None}
        loggers.append(Wandb(run_dir, chosen, config, start, checkpoints))
    return loggers


def wandb_mode(requested: str = "auto") -> str:
    """Return `online`, `offline` or `disabled`: the environment's word, then the config's, then online if there is a key."""
    if chosen := os.environ.get("WANDB_MODE"):
        return {"dryrun": "offline", "run": "online"}.get(chosen, chosen)
    if requested != "auto":
        return requested
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return "online"
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        known = netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, NetrcParseError):
        known = None
    return "online" if known else "offline"


class CSVMetrics(Logger):
    """Rows of metrics by step, in one CSV file whose columns grow as needed.

    Args:
        path: the file; rows in it are kept, up to the step that `resume_at` names.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.written = 0
        self.columns: list[str] = ["step", "epoch"]

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the config has its own file."""

    @rank_zero_only
    def resume_at(self, step: int) -> None:
        """Take up the file of an interrupted run, without the rows that come after its checkpoint."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if row.get("step") and int(row["step"]) <= step]
        self._rewrite()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": step, **{k: float(v) for k, v in metrics.items()}}
        if "epoch" in row:
            row["epoch"] = int(row["epoch"])
        self.rows.append(row)
        if new := [k for k in row if k not in self.columns]:
            self.columns += sorted(new)
            self._rewrite()
        elif any(k.startswith(("val/", "test/")) for k in row) or len(self.rows) - self.written >= 100:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Append the rows that are not in the file yet."""
        if self.written == len(self.rows):
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerows(self.rows[self.written :])
        self.written = len(self.rows)

    def finalize(self, status: str) -> None:
        self.save()

    def _rewrite(self) -> None:
        self.columns += sorted({k for row in self.rows for k in row} - set(self.columns))
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)
        self.written = len(self.rows)


class Wandb(WandbLogger):
    """Lightning's W&B logger, started with the whole config, that turns every failure of W&B into one warning.

    Args:
        run_dir: the run's directory; W&B keeps its files in `wandb/` there.
        mode: `online` or `offline`; online falls back to offline when the server cannot be reached.
        config: the resolved config.
        start: arguments of `wandb.init`.
        checkpoints: whether to upload the best checkpoint.
    """

    def __init__(
        self, run_dir: Path, mode: str, config: dict[str, Any], start: dict[str, Any], checkpoints: bool
    ) -> None:
        self.run_dir, self.config, self.failed = run_dir, config, False
        run = _start_run(run_dir, mode, config, start) if rank_zero_only.rank == 0 else None
        super().__init__(experiment=run, save_dir=run_dir, **start)
        if run is not None:
            run.define_metric("trainer/global_step")
            run.define_metric("*", step_metric="trainer/global_step")
        self.checkpoints = checkpoints

    @property
    def offline(self) -> bool:
        """Whether nothing is sent to a server."""
        return bool(self.experiment.offline)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Nothing to do: the config was given at the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._guard("log metrics", lambda: super(Wandb, self).log_metrics(metrics, step))

    @rank_zero_only
    def log_picture(self, key: str, path: Path, step: int, caption: str) -> None:
        """Show a PNG file under `key`."""
        self._guard("log a picture", lambda: self.log_image(key, [str(path)], step, caption=[caption]))

    @rank_zero_only
    def finish(self, summary: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Write the final numbers, upload the checkpoint and end the run, waiting a minute at the most."""
        self._guard("finish", lambda: self._finish(summary, checkpoint))

    def _finish(self, summary: Mapping[str, Any], checkpoint: Path | None) -> None:
        import wandb

        run: Any = self.experiment
        run.summary.update(dict(summary))
        if self.checkpoints and checkpoint is not None:
            artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=_json_safe(self.config))
            artifact.add_file(str(checkpoint), name="best.ckpt")
            run.log_artifact(artifact, aliases=["best", "latest"])
        done = threading.Thread(target=run.finish, daemon=True)
        done.start()
        done.join(FINISH_SECONDS)
        if done.is_alive():
            raise TimeoutError("the server does not answer")

    def _guard(self, action: str, call: Any) -> None:
        """W&B runs another process and a network client; nothing that goes wrong there may end a training."""
        if self.failed:
            return
        try:
            call()
        except Exception as error:
            self.failed = True
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            rank_zero_info(f"W&B: could not {action} ({reason}); the run goes on. Upload it later with: {self.sync_command}")

    @property
    def sync_command(self) -> str:
        """What to type to send the run to the server."""
        folders = sorted((self.run_dir / "wandb").glob("*run-*"))
        return f"wandb sync {' '.join(map(str, folders)) or self.run_dir / 'wandb'}"


def _start_run(run_dir: Path, mode: str, config: dict[str, Any], start: dict[str, Any]) -> Any:
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")  # this module says what there is to say
    (run_dir / "wandb").mkdir(exist_ok=True)

    def init(mode: str) -> Any:
        settings = wandb.Settings(init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", "30")), silent=True)
        return wandb.init(
            id=_run_id(run_dir), resume="allow", dir=run_dir, config=_json_safe(config), mode=mode, settings=settings,
            **start,
        )  # type: ignore[arg-type]  # fmt: skip

    try:
        return init(mode)
    except Exception as error:  # no network, no such server, wrong key: any of wandb's errors, or its process's
        if mode != "online":
            raise
        reason = str(error).splitlines()[0][:120]
        rank_zero_info(f"W&B: cannot reach the server ({reason}); logging offline, upload later with `wandb sync`")
        return init("offline")


def _run_id(run_dir: Path) -> str:
    """Return the W&B id of this run directory, the same when it is resumed."""
    file = run_dir / "wandb" / "run-id"
    if not file.exists():
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()


def _json_safe(config: Mapping[str, Any]) -> dict[str, Any]:
    safe: dict[str, Any] = json.loads(json.dumps(config))
    return safe
