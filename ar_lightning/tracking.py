"""Where a run's numbers and samples go: its directory, and Weights & Biases.

W&B is online where a key is at hand, else offline. It can never fail a training: what goes wrong there costs one line,
and the run stays in its directory for `wandb sync`.
"""

import csv
import os
import secrets
import shlex
import shutil
from argparse import Namespace
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from html import escape
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_only

from ar_lightning.csv_metrics import CSVMetrics
from ar_lightning.errors import UserError, did_you_mean

__all__ = ["Wandb", "make_loggers", "wandb_mode"]

MODES = ("online", "offline", "disabled")
ALIASES = {"run": "online", "dryrun": "offline"}  # W&B's older words
STEP = "trainer/global_step"  # the x-axis of every chart
ENVIRONMENT = {  # W&B's own variables, where the user has not set them
    "WANDB_SILENT": "true",  # this module says what there is to say
    "WANDB_ERROR_REPORTING": "false",  # its process would report its crashes, offline too
    "WANDB_INIT_TIMEOUT": "30",
    "WANDB_FINISH_TIMEOUT": "60",  # for the last upload; without a limit, a dead server holds the process for ever
    "WANDB_FINISH_TIMEOUT_RAISES": "true",
}


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

    Raises:
        UserError: WANDB_MODE is no mode.
    """
    loggers: list[Logger] = [CSVMetrics(run_dir / "metrics.csv")]
    chosen = wandb_mode(mode)
    if chosen != "disabled":
        name = name or f"{config['experiment']}/{run_dir.name}"
        start = {"project": project, "entity": entity, "name": name, "group": group, "tags": tags or None}
        loggers.append(Wandb(run_dir, chosen, config, start, checkpoints))
    return loggers


def wandb_mode(requested: str = "auto") -> str:
    """Return `online`, `offline` or `disabled`: what the environment says, or the config, or whether there is a key.

    Raises:
        UserError: WANDB_MODE is none of them.
    """
    if given := os.environ.get("WANDB_MODE"):
        if given not in (*MODES, *ALIASES):
            raise UserError(f"WANDB_MODE={given}: no such mode{did_you_mean(given, MODES)}")
        return ALIASES.get(given, given)
    if requested != "auto":
        return requested
    if _wandb_settings().get("mode") == "offline":  # the user ran `wandb offline`
        return "offline"
    return "online" if _has_key() else "offline"


def _has_key() -> bool:
    """Whether W&B will find credentials for its server, so that it need not ask for them."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or _wandb_settings().get("base_url", "https://api.wandb.ai")
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    path = next((p for p in (Path(place).expanduser() for place in places) if p.is_file()), None)
    try:
        hosts = netrc(path).hosts if path else {}
    except (OSError, NetrcParseError, UnicodeDecodeError):
        return False
    return bool(hosts.get(urlsplit(server).netloc, ("", "", ""))[2])


def _wandb_settings() -> dict[str, str]:
    """Return what `wandb login --host` and `wandb offline` noted in W&B's settings files."""
    parser = ConfigParser(interpolation=None)
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    try:
        parser.read([folder / "settings", Path("wandb") / "settings"])
    except (OSError, ConfigError, UnicodeDecodeError):
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}


class Wandb(Logger):
    """One W&B run for one training, on rank zero; its failures become one line.

    Args:
        run_dir: the run's directory; W&B keeps its files in `wandb/` there.
        mode: `online` or `offline`; online falls back to offline when the server cannot be reached or refuses the key.
        config: the resolved config.
        start: arguments of `wandb.init`.
        checkpoints: whether to upload the best checkpoint.
    """

    name, version = "wandb", ""

    def __init__(
        self, run_dir: Path, mode: str, config: dict[str, Any], start: dict[str, Any], checkpoints: bool
    ) -> None:
        super().__init__()
        self.folder, self.mode, self.checkpoints = run_dir / "wandb", mode, checkpoints
        self.start = {"dir": run_dir, "config": config, "resume": "allow", **start}
        self.begun = self.failed = False
        self._run: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`, begun when it is first asked for; None if it cannot be."""
        if not self.begun:
            self.begun = True
            self._attempt("start", self._begin)
        return self._run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the config was given at the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if run := self.experiment:
            self._attempt("log metrics", lambda: run.log({**metrics, STEP: step}))

    @rank_zero_only
    def log_file(self, key: str, path: Path, step: int, caption: str) -> None:
        """Show a file under `key`: a picture, a recording, text or a table."""
        if run := self.experiment:
            self._attempt("log a file", lambda: run.log({key: _shown(path, caption), STEP: step}))

    @rank_zero_only
    def finish(self, summary: Mapping[str, Any], checkpoint: Path | None) -> None:
        """Write the final numbers, upload the best checkpoint and end the run, within W&B's time limit."""
        import wandb

        if run := self.experiment:
            self._attempt("write the summary", lambda: run.summary.update(dict(summary)))
            if self.checkpoints and checkpoint is not None:
                self._attempt("upload the checkpoint", lambda: self._upload(checkpoint, summary))
            self._attempt("finish", run.finish)
            self._attempt("stop", wandb.teardown)  # now: what fails in W&B's exit hook can no longer be caught
            if run.offline and not self.failed:
                rank_zero_info(f"W&B: the run is offline{self._advice()}")

    def _begin(self) -> None:
        import wandb

        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        file = self.folder / "run-id"  # a resumed training is the same W&B run
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(secrets.token_hex(4))
        self.start["id"] = file.read_text().strip()
        run = self._go_online() if self.mode == "online" else None
        self._run = run or wandb.init(mode="offline", **self.start)
        self._run.define_metric(STEP)
        self._run.define_metric("*", step_metric=STEP)

    def _go_online(self) -> Any:
        """Return the run, or None if the server cannot be reached or refuses the key."""
        import wandb

        earlier = self._segments()
        try:
            if not _has_key():  # W&B would ask for it
                raise UserError("no API key: set WANDB_API_KEY or run `wandb login`")
            run = wandb.init(mode="online", **self.start)
            rank_zero_info(f"W&B: {run.url}")
            return run
        except Exception as error:  # whatever it is; W&B's errors have no common type
            rank_zero_info(f"W&B: cannot go online ({_first_line(error)}); logging offline")
            wandb.teardown()  # its process holds on to the id
            for segment in set(self._segments()) - set(earlier):
                shutil.rmtree(segment, ignore_errors=True)
            return None

    def _upload(self, checkpoint: Path, summary: Mapping[str, Any]) -> None:
        import wandb

        artifact = wandb.Artifact(f"model-{self._run.id}", type="model", metadata=dict(summary))
        # Immutable: sent from where it is, not from a copy in the home directory.
        artifact.add_file(str(checkpoint.resolve()), name="best.ckpt", policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact, aliases=["best", "latest"])

    def _segments(self) -> list[Path]:
        """Return W&B's folders of this run: one for each time it was begun or resumed."""
        return sorted(folder for folder in self.folder.glob("*run-*") if folder.is_dir())

    def _advice(self) -> str:
        command = shlex.join(["wandb", "sync", "--include-online", *map(str, self._segments())])
        return f"; upload it later with: {command}" if self._segments() else ""

    def _attempt(self, action: str, call: Callable[[], object]) -> None:
        """Make a call to W&B; say once if W&B fails."""
        try:
            call()
        except (Exception, SystemExit) as error:  # a network client and another process: they may not end a training
            if not self.failed:
                self.failed = True
                reason = _first_line(error)
                rank_zero_info(f"W&B: could not {action} ({reason}); the training is not affected{self._advice()}")


def _shown(path: Path, caption: str) -> Any:
    """Return a file as the W&B object that shows it."""
    import wandb

    match path.suffix:
        case ".png":
            return wandb.Image(str(path), caption=caption)
        case ".wav":
            return wandb.Audio(str(path), caption=caption)
        case ".csv":
            header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
            return wandb.Table(columns=[*header], data=[[float(value) for value in row] for row in rows])
    return wandb.Html(f"<pre>{escape(path.read_text(encoding='utf-8'))}</pre>")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
