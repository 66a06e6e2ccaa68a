"""Tracking: where numbers go, and that nothing about W&B can end a training. No test leaves this machine."""

import csv
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ar_lightning.core.errors import UserError
from ar_lightning.tracking.csv import CSVMetrics
from ar_lightning.tracking.loggers import Wandb, make_loggers
from ar_lightning.tracking.wandb_mode import wandb_mode
from ar_lightning.tracking.wandb_run import WandbRun, has_ended
from tests.support.wandb_home import KEY, isolate, python, sync
from tests.support.wandb_stub import WandbStub

ROOT = Path(__file__).parents[2]
CONFIG = {"experiment": "test", "model": {"name": "nade", "hidden": 7}}
TINY = ["trainer.max_epochs=1", "trainer.limit_train=2", "trainer.limit_val=1", "trainer.limit_test=1", "samples.n=4"]


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def said() -> list[str]:
    """The lines that tracking prints."""
    return []


def train(home: Path, *overrides: str, **environment: str) -> str:
    """Train a tiny model in `home/run` from the command line."""
    run = ["--config", str(ROOT / "conf" / "nade.yaml"), *TINY, f"run_dir={home / 'run'}"]
    return python(home, str(ROOT / "run.py"), *run, *overrides, **environment)


def segments(home: Path) -> list[str]:
    return sorted(p.name.split("-")[0] for p in (home / "run" / "wandb").glob("*run-*") if p.is_dir())


NETRC = f"machine api.wandb.ai\n login user\n password {KEY}\n"
AT_WORK = f"machine wandb.work:8080\n login user\n password {KEY}\n"
DECISIONS: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    # expected, tracking.mode, environment, files in the home directory
    ("offline", "auto", {}, {}),
    ("online", "auto", {"WANDB_API_KEY": KEY}, {}),
    ("online", "auto", {"WANDB_IDENTITY_TOKEN_FILE": "token"}, {}),
    ("online", "auto", {}, {".netrc": NETRC}),
    ("online", "auto", {}, {"_netrc": NETRC}),
    ("online", "auto", {"NETRC": "~/mine"}, {"mine": NETRC}),
    ("offline", "auto", {"NETRC": "~/mine"}, {".netrc": NETRC}),
    ("offline", "auto", {}, {".netrc": AT_WORK}),
    ("offline", "auto", {}, {".netrc": f"default login user password {KEY}\n"}),
    ("offline", "auto", {}, {".netrc": "machine api.wandb.ai password"}),
    ("online", "auto", {"WANDB_BASE_URL": "http://wandb.work:8080"}, {".netrc": AT_WORK}),
    ("offline", "auto", {"WANDB_BASE_URL": "http://wandb.work"}, {".netrc": AT_WORK}),
    (
        "online", "auto", {},
        {".netrc": AT_WORK, ".config/wandb/settings": "[default]\nbase_url = http://wandb.work:8080\n"},
    ),
    ("offline", "auto", {"WANDB_API_KEY": KEY}, {"wandb/settings": "[default]\nmode = offline\n"}),
    ("online", "auto", {"WANDB_API_KEY": KEY}, {"wandb/settings": "no settings"}),
    ("offline", "offline", {"WANDB_API_KEY": KEY}, {}),
    ("online", "online", {}, {}),
    ("disabled", "disabled", {"WANDB_API_KEY": KEY}, {}),
    ("disabled", "online", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, {}),
    ("online", "offline", {"WANDB_MODE": "online"}, {}),
    ("offline", "online", {"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, {}),
    ("online", "auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": ""}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "requested", "environment", "files"), DECISIONS)
def test_mode(
    isolated: pytest.MonkeyPatch,
    tmp_path: Path,
    expected: str,
    requested: str,
    environment: dict[str, str],
    files: dict[str, str],
) -> None:
    for name, value in environment.items():
        isolated.setenv(name, value)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert wandb_mode(requested) == expected


def test_a_misspelt_mode_is_an_error_in_one_line(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolated.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match=r"\AWANDB_MODE=ofline: .*'offline'\?\Z"):
        make_loggers(tmp_path, CONFIG)


def test_disabled_is_csv_alone(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [type(logger) for logger in make_loggers(tmp_path, CONFIG, mode="disabled")] == [CSVMetrics]
    assert [type(logger) for logger in make_loggers(tmp_path, CONFIG, mode="offline")] == [CSVMetrics, Wandb]


@pytest.mark.slow
def test_an_online_training_arrives(stub: WandbStub, tmp_path: Path) -> None:
    output = train(tmp_path, "tracking.group=tests", WANDB_BASE_URL=stub.url, WANDB_API_KEY=KEY)

    assert output.count(f"W&B: {stub.url}/stub/ar_lightning/runs/{stub.run.id}\n") == 1
    assert output.count("W&B") == 1 and "wandb:" not in output
    assert (stub.run.group, stub.run.exit_code) == ("tests", 0)
    assert (stub.run.config["model"]["name"], stub.run.config["model"]["hidden"]) == ("nade", 200)
    assert stub.run.config["trainer"]["limit_train"] == 2, "the config is complete, defaults and overrides"
    validation = [row for row in stub.run.history if "val/bpd" in row]
    assert len(validation) == 1 and validation[0]["trainer/global_step"] == 1
    assert all("trainer/global_step" in row for row in stub.run.history)

    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for key in ("test/nll", "test/bpd", "val/nll", "parameters"):
        assert stub.run.summary[key] == pytest.approx(result[key], rel=1e-12), key
    pictures = {name: content for name, content in stub.run.files.items() if name.startswith("media/images/samples/")}
    assert {name.split("/")[-1].split("_")[0] for name in pictures} == {"samples", "completions"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert (tmp_path / "run" / "samples" / "final.png").read_bytes() in pictures.values()

    assert (stub.artifact.name, set(stub.artifact.aliases)) == (f"model-{stub.run.id}", {"best", "latest"})
    assert stub.artifact.committed and stub.artifact.metadata["test/bpd"] == result["test/bpd"]
    assert stub.artifact.files["best.ckpt"] == (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    assert not stub.unknown, "the stand-in knows all that W&B asks"


@pytest.mark.slow
def test_a_dead_server_means_offline(tmp_path: Path) -> None:
    with WandbStub() as server:
        pass
    output = train(tmp_path, WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, WANDB_INIT_TIMEOUT="4")
    assert output.count("W&B: cannot go online") == 1
    assert output.count("wandb sync") == 1 and output.count("W&B") == 2
    assert segments(tmp_path) == ["offline"], "nothing is left of the attempt"
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_a_server_that_dies_does_not_take_the_training_along(stub: WandbStub, tmp_path: Path) -> None:
    limit = {"WANDB_FINISH_TIMEOUT": "4"}
    with WandbStub(die_early=True) as mortal:
        output = train(tmp_path, WANDB_BASE_URL=mortal.url, WANDB_API_KEY=KEY, **limit)
    assert mortal.dead.is_set() and not mortal.run.history
    assert output.count("W&B: could not ") == 1 and output.count("wandb sync") == 1
    assert (tmp_path / "run" / "result.json").exists()

    sync(tmp_path, output, stub)
    assert stub.run.id == mortal.run.id
    assert len(stub.run.values("val/bpd")) == 1
    assert stub.run.summary["test/bpd"] > 0


@pytest.mark.slow
def test_offline_calls_nobody_and_is_synced_later(stub: WandbStub, tmp_path: Path) -> None:
    output = train(tmp_path, "tracking.mode=offline", WANDB_BASE_URL=stub.url, WANDB_API_KEY=KEY)
    assert stub.requests == []
    assert output.count("W&B") == output.count("wandb sync") == 1 and "wandb:" not in output
    assert segments(tmp_path) == ["offline"]

    resume = ["--resume", str(tmp_path / "run"), "trainer.max_epochs=2"]
    time.sleep(1)  # W&B names its folders by the second
    output = python(tmp_path, str(ROOT / "run.py"), *resume, WANDB_BASE_URL=stub.url, WANDB_MODE="offline")
    assert stub.requests == []
    assert segments(tmp_path) == ["offline", "offline"], "the resumed run is a second segment"

    sync(tmp_path, output, stub)
    steps = [row["trainer/global_step"] for row in stub.run.history if "val/bpd" in row]
    assert steps == [1, 3], "one run, both segments, in order"
    assert [row["_step"] for row in stub.run.history] == list(range(len(stub.run.history)))
    assert stub.run.config["model"]["hidden"] == 200
    best = (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    assert [a.files["best.ckpt"] == best for a in stub.artifacts.values()][-1]


def start(run_dir: Path, mode: str, said: list[str], **keys: Any) -> Wandb:
    """Return the logger of a training, with a checkpoint in place."""
    (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run_dir / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    return Wandb(WandbRun(run_dir, mode, {"project": "tests", "config": CONFIG, **keys}, said.append), checkpoints=True)


def test_a_refused_key_means_offline(isolated: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    isolated.setenv("WANDB_API_KEY", KEY)
    with WandbStub(refuse_keys=True) as server:
        isolated.setenv("WANDB_BASE_URL", server.url)
        logger = start(tmp_path / "run", "online", said)
        assert logger.experiment.offline
        logger.finish({}, None)
    assert len(said) == 2 and "401" in said[0] and "wandb sync" in said[1]
    assert segments(tmp_path) == ["offline"]


def test_online_without_a_key_does_not_ask(isolated: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    logger = start(tmp_path / "run", "online", said)
    assert logger.experiment.offline and "no API key" in said[0]
    logger.finish({}, None)


def test_a_run_is_what_its_config_says(isolated: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    isolated.setenv("WANDB_API_KEY", KEY)
    isolated.setenv("WANDB_BASE_URL", stub.url)
    asked: dict[str, Any] = {"id": "study 1/0007?", "group": "study", "job_type": "trial", "tags": ["sweep", "nade"]}
    _, logger = make_loggers(tmp_path / "0007", CONFIG, **asked)
    assert isinstance(logger, Wandb)
    logger.log_metrics({"val/bpd": 2.0}, 1)
    logger.finish({"state": "complete", "val/bpd": 1.5}, None)

    _, resumed = make_loggers(tmp_path / "0007", CONFIG, **{**asked, "id": "another"})
    assert isinstance(resumed, Wandb)
    resumed.log_metrics({"val/bpd": 1.0}, 2)
    resumed.finish({"state": "complete"}, None)

    run = stub.run
    assert (run.id, run.name, run.group, run.job_type) == ("study-1-0007-", "test/0007", "study", "trial")
    assert set(run.tags) == {"sweep", "nade"} and run.config["model"] == CONFIG["model"]
    assert run.values("val/bpd") == [2, 1] and run.summary["state"] == "complete" and run.exit_code == 0


@pytest.mark.parametrize("begun", [True, False])
def test_a_failed_training_is_a_failed_run(
    isolated: pytest.MonkeyPatch, stub: WandbStub, said: list[str], tmp_path: Path, begun: bool
) -> None:
    """Also one that failed before anything was logged."""
    isolated.setenv("WANDB_API_KEY", KEY)
    isolated.setenv("WANDB_BASE_URL", stub.url)
    logger = start(tmp_path / "run", "online", said)
    if begun:
        logger.log_metrics({"train/loss": 1.0}, 1)
    assert not has_ended(tmp_path / "run")
    logger.finish({"state": "failed", "reason": "the loss is not finite"}, None, exit_code=1)
    assert has_ended(tmp_path / "run")
    assert (stub.run.summary["state"], stub.run.summary["reason"]) == ("failed", "the loss is not finite")
    assert stub.run.exit_code == 1 and len(stub.run.history) == begun
    assert len(said) == 1 and stub.run.id in said[0] and not stub.artifacts


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds W&B's process in /proc")
def test_the_death_of_wandbs_process_is_one_line(isolated: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    logger = start(tmp_path / "run", "offline", said)
    logger.log_metrics({"train/loss": 1.0}, 1)
    me = os.getpid()
    children = [int(c) for file in Path(f"/proc/{me}/task").glob("*/children") for c in file.read_text().split()]
    (core,) = [c for c in children if b"wandb-core" in Path(f"/proc/{c}/cmdline").read_bytes()]
    os.kill(core, signal.SIGKILL)
    for step in range(2, 50):
        logger.log_metrics({"train/loss": 1.0}, step)
        time.sleep(0.01)
    logger.finish({"test/nll": 1.0}, tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert len(said) == 1 and "wandb sync" in said[0]


def test_a_disk_that_takes_nothing_is_one_line(isolated: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    logger = start(tmp_path / "run", "offline", said)
    (tmp_path / "run" / "wandb").write_text("in the way")
    logger.log_metrics({"train/loss": 1.0}, 1)
    logger.finish({"test/nll": 1.0}, None)
    assert len(said) == 1 and said[0].startswith("W&B: could not start")


def test_failures_in_log_are_told_once(said: list[str], tmp_path: Path) -> None:
    logged: list[dict[str, Any]] = []

    def log(row: dict[str, Any]) -> None:
        logged.append(row)
        raise ConnectionError("no route\nto host")

    logger = start(tmp_path / "run", "online", said)
    logger.wandb_run.begun, logger.wandb_run._run = True, SimpleNamespace(log=log)
    for step in range(3):
        logger.log_metrics({"train/loss": 0.5}, step)
    logger.log_file("samples", tmp_path / "missing.png", 3, "none")
    assert logged == [{"train/loss": 0.5, "trainer/global_step": step} for step in range(3)]
    assert len(said) == 1 and "could not log metrics (no route)" in said[0]


@pytest.mark.parametrize("imported", [False, True])
def test_inputs_of_launch_are_looked_for_where_some_may_be(
    imported: bool, isolated: pytest.MonkeyPatch, said: list[str], tmp_path: Path
) -> None:
    import wandb

    looked: list[bool] = []
    isolated.setattr(wandb.Run, "_detect_and_apply_job_inputs", lambda run: looked.append(True))
    isolated.delitem(sys.modules, "wandb.sdk.launch", raising=False)
    if imported:
        isolated.setitem(sys.modules, "wandb.sdk.launch", wandb)
    logger = start(tmp_path, "offline", said)
    assert logger.experiment is not None and bool(looked) == imported
    logger.finish({}, None)
    wandb.Run._detect_and_apply_job_inputs(SimpleNamespace())
    assert looked[-1:], "the method is back in its place"


def test_wandb_may_not_exit(monkeypatch: pytest.MonkeyPatch, said: list[str], tmp_path: Path) -> None:
    logger = start(tmp_path / "run", "online", said)
    logger.wandb_run.begun, logger.wandb_run._run = (
        True,
        SimpleNamespace(finish=lambda exit_code: None, summary={}, offline=False),
    )
    monkeypatch.setattr("wandb.teardown", lambda: sys.exit(255))  # W&B does, where its process ends with an error
    logger.finish({}, None)
    assert len(said) == 1


def test_interruption_by_the_user_is_no_failure_of_wandb(said: list[str], tmp_path: Path) -> None:
    def log(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    logger = start(tmp_path / "run", "online", said)
    logger.wandb_run.begun, logger.wandb_run._run = True, SimpleNamespace(log=log)
    with pytest.raises(KeyboardInterrupt):
        logger.log_metrics({"train/loss": 0.5}, 0)
    assert said == []


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, each of whose rows must have all columns."""
    header, *body = csv.reader(path.read_text().splitlines())
    assert all(len(row) == len(header) for row in body) and len(set(header)) == len(header)
    return [{k: v for k, v in zip(header, row, strict=True) if v} for row in body]


def test_csv_columns_grow(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = CSVMetrics(path)
    metrics.resume_at(-1)
    assert rows(path) == []
    logged: list[dict[str, float]] = [
        {"train/loss": 0.1 + 0.2, "epoch": 0}, {"train/loss": float("nan"), "epoch": 0},
        {"val/bpd": 1e-30, "epoch": 0}, {"a": 1, "train/loss": 2, "epoch": 1},
    ]  # fmt: skip
    for step, row in enumerate(logged):
        metrics.log_metrics(row, step)
        written = rows(path)
        assert len(written) == step + 1, "every row is in the file at once"
        assert written[step].pop("step") == str(step)
        assert {k: float(v) for k, v in written[step].items()} == pytest.approx(row, rel=0, nan_ok=True)
    assert path.read_text().partition("\n")[0] == "step,epoch,train/loss,val/bpd,a"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_csv_resumes_at_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"

    def log(metrics: CSVMetrics, steps: range) -> None:
        for step in steps:
            metrics.log_metrics({"val/bpd" if step % 3 == 2 else "train/loss": step / 7, "epoch": step // 3}, step)

    first = CSVMetrics(path)
    first.resume_at(-1)
    log(first, range(12))
    uninterrupted = path.read_text()
    with path.open("a") as file:
        file.write("1")  # the process was killed in the middle of step 12

    resumed = CSVMetrics(path)
    resumed.resume_at(7)
    assert [row["step"] for row in rows(path)] == [str(step) for step in range(8)]
    assert uninterrupted.startswith(path.read_text())
    log(resumed, range(8, 12))
    assert path.read_text() == uninterrupted
