"""The panels of a W&B project, as code: over the metrics, samples and config keys that trainings and sweeps log."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ar_lightning.core.errors import UserError
from ar_lightning.tracking.wandb_artifacts import wandb_api
from ar_lightning.tracking.wandb_run import STEP

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

__all__ = ["CONFIG_KEYS", "dump", "save", "workspace"]

CONFIG_KEYS = ("model.name", "optimizer.name", "optimizer.lr", "schedule.name", "data.batch_size")  # of every run
PICTURES = ("samples/samples", "samples/completions", "samples/pairs")
SOUNDS = ("samples/samples, sound", "samples/completions, sound")
BY_DATA = "Bits/dim compare on the same data only: filter the runs by `data.name`."


def workspace(project: str = "ar_lightning", entity: str = "", name: str = "Autoregressive densities") -> "Workspace":
    """Return the workspace, a view of this name, not yet saved; needs no account, key or network."""
    if find_spec("wandb_workspaces") is None:
        raise UserError('dashboard: needs the package wandb-workspaces: pip install -e ".[workspaces]"')
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name=title, panels=panels, is_open=True, layout_settings=ws.SectionLayoutSettings(columns=3, rows=2))
        for title, panels in _panels().items()
    ]
    settings = ws.WorkspaceSettings(x_axis=STEP)
    try:
        return ws.Workspace(
            entity=entity, project=project, name=name, sections=sections, settings=settings, auto_generate_panels=False
        )
    except ValueError as error:  # pydantic's: what is wrong stands on its third line
        raise UserError(f"dashboard: {str(error).splitlines()[-2].strip()}") from None


def dump(made: "Workspace") -> dict[str, Any]:
    """Return a workspace as W&B keeps it: plain containers."""
    return made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)


def save(project: str = "ar_lightning", entity: str | None = None, name: str = "Autoregressive densities") -> str:
    """Save the workspace to W&B as a new view of the project; return its address."""
    with wandb_api("dashboard") as api:
        made = workspace(project, entity or api.default_entity or "", name)
        return str(made.save().url)


def _panels() -> dict[str, list[Any]]:
    """Return the panels of each section."""
    import wandb_workspaces.reports.v2 as wr

    def curve(title: str, *metrics: str, **settings: Any) -> Any:
        return wr.LinePlot(title=title, x=STEP, y=[*metrics], **settings)

    def best_by_model(title: str, metric: str, best: Literal["min", "max", "mean"] = "min") -> Any:
        return wr.BarPlot(title=title, metrics=[metric], groupby=wr.Config("model.name"), groupby_aggfunc=best)

    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key), log=key.endswith(".lr") or None) for key in CONFIG_KEYS]
    columns += [wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(key)) for key in ("parameters", "val/bpd")]
    return {
        "Likelihood by model": [
            best_by_model("test bits/dim, the best of each model", "test/bpd"),
            best_by_model("validation bits/dim, the best of each model", "val/bpd"),
            wr.ScatterPlot(
                title="test bits/dim by size", x=wr.SummaryMetric("parameters"), y=wr.SummaryMetric("test/bpd"),
                log_x=True,
            ),
            wr.MarkdownPanel(markdown=BY_DATA),
        ],
        "Training": [
            curve("training bits/dim", "train/bpd"),
            curve("validation bits/dim", "val/bpd"),
            curve("loss, nats per example", "train/loss"),
            curve("norm of the gradient, before clipping", "train/grad_norm", log_y=True),
            curve("learning rate", metric_regex="^lr-"),
        ],
        "Samples": [
            *[wr.MediaBrowser(title=key.partition("/")[2], media_keys=[key], num_columns=2) for key in PICTURES],
            wr.MediaBrowser(title="sound", media_keys=[*SOUNDS]),
        ],
        "Speed": [
            curve("training examples per second", "throughput/examples_per_second"),
            best_by_model("samples per second, the fastest of each model", "samples_per_second", "max"),
            best_by_model("seconds of training, on average", "seconds_training", "mean"),
        ],
        "Sweeps": [
            wr.ParallelCoordinatesPlot(title="settings and validation bits/dim", columns=columns),
            wr.ParameterImportancePlot(with_respect_to="val/bpd"),
            wr.MediaBrowser(title="plots", media_keys=["plots/history", "plots/importances", "plots/slices"]),
        ],
    }  # fmt: skip
