"""The panels of the W&B project: over what is really logged, saved by W&B's own client, or printed without it."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ar_lightning.config.registry import REGISTRIES
from ar_lightning.config.sections import section_schema
from ar_lightning.sweep.report.plots import write_plots
from ar_lightning.sweep.wandb import record_sweep
from tests.support.commands import QUICK, ROOT, run_here
from tests.support.studies import searched
from tests.support.wandb_home import KEY, isolate, python
from tests.support.wandb_stub import StubRun, WandbStub
from tests.sweep.test_wandb import sweep_in

pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
from ar_lightning.tracking.wandb_workspace import CONFIG_KEYS, dump, workspace

ONLINE = [o for o in QUICK if not o.startswith("tracking.")]


def panels(view: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for section in view["section"]["panelBankConfig"]["sections"]:
        yield from section["panels"]


def keys(config: dict[str, Any]) -> set[str]:
    """Return the metrics, samples and config keys that a panel is over, the last as `config:SECTION.KEY`."""
    columns = [column["accessor"] for column in config.get("columns", [])]
    given = [config.get("xAxis"), config.get("yAxis"), config.get("targetKey"), *config.get("metrics", [])]
    group = [f"config:{config['groupBy']}"] if "groupBy" in config else []
    named = [key for key in (*given, *columns, *group, *config.get("mediaKeys", [])) if key]
    return {key.removeprefix("summary:").replace(".value.", ".") for key in named}


def logged(runs: list[StubRun]) -> set[str]:
    """Return all keys that runs have."""
    rows = [row for run in runs for row in (*run.history, run.summary)]
    config = {f"config:{s}.{k}" for run in runs for s, v in run.config.items() if isinstance(v, dict) for k in v}
    return {key for row in rows for key in row} | config


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> WandbStub:
    """The stand-in, with a user signed in whose home is `tmp_path`, at the root of the project."""
    isolate(monkeypatch, tmp_path).chdir(ROOT)
    monkeypatch.setenv("WANDB_BASE_URL", stub.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return stub


@pytest.mark.slow
def test_every_panel_shows_what_is_logged(online: WandbStub, tmp_path: Path) -> None:
    """A training of each medium, and a sweep, send it."""
    for config in ("nade", "wavenet", "rnade"):
        assert run_here("--config", f"conf/{config}.yaml", *ONLINE, f"run_dir={tmp_path / config}") == 0
    study = searched(20)
    files, _ = write_plots(study, tmp_path / "plots")
    record_sweep(sweep_in(tmp_path / "sweep"), study, files)
    there = logged([*online.runs.values()])
    shown = dump(workspace())["spec"]
    for panel in panels(shown):
        config = panel["config"]
        assert keys(config) <= there, panel
        if "metricRegex" in config:
            assert any(re.search(config["metricRegex"], key) for key in there)
        assert keys(config) or "metricRegex" in config or panel["viewType"] == "Markdown Panel", panel
    assert sum(len(keys(panel["config"])) for panel in panels(shown)) > 20
    assert not online.unknown


def test_every_run_has_the_config_keys() -> None:
    for key in CONFIG_KEYS:
        section, _, field = key.partition(".")
        if field != "name":
            assert all(field in section_schema(section, name).fields for name in REGISTRIES[section]), key


def test_it_is_saved(stub: WandbStub, tmp_path: Path) -> None:
    environment = {"WANDB_BASE_URL": stub.url, "WANDB_API_KEY": KEY}
    command = [str(ROOT / "run.py"), "dashboard", "--project", "mine", "--name", "all models"]
    output = python(tmp_path, *command, **environment)
    ((name, view),) = stub.views.items()
    address = name.removeprefix("nw-").removesuffix("-v")
    assert output == f"saved: {stub.url}/stub/mine?nw={address}\n"
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("stub", "mine", "all models")
    assert shapes(view["spec"]) == shapes(dump(workspace("mine", "stub", "all models"))["spec"])
    assert not stub.unknown


def shapes(view: dict[str, Any]) -> list[Any]:
    """Return the panels without their random ids."""
    return [(panel["viewType"], panel["layout"], panel["config"]) for panel in panels(view)]


def test_the_spec_needs_no_account(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert run_here("dashboard", "--dump", "--project", "mine") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["project"] == "mine" and len([*panels(printed["spec"])]) > 15


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("no key", "WANDB_API_KEY"),
        ("no server", "127.0.0.1"),
        ("refused", "invalid API key"),
        ("no package", 'pip install -e ".[workspaces]"'),
    ],
)
def test_what_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str, says: str
) -> None:
    isolate(monkeypatch, tmp_path)
    if case == "no server":
        monkeypatch.setattr("ar_lightning.tracking.wandb_artifacts.PATIENCE", 2)
    with WandbStub(refuse_keys=True) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url if case == "refused" else "http://127.0.0.1:9")
        if case != "no key":
            monkeypatch.setenv("WANDB_API_KEY", KEY)
        if case == "no package":
            found = importlib.util.find_spec
            monkeypatch.setattr(
                "ar_lightning.tracking.wandb_workspace.find_spec",
                lambda n: None if n == "wandb_workspaces" else found(n),
            )
        assert run_here("dashboard", *(["--dump"] if case == "no package" else [])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: dashboard: ") and says in line
