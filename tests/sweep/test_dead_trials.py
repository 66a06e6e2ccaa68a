"""Trials that could not tell W&B how they ended: another process does. No test leaves this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ar_lightning.config.resolve import load_config
from ar_lightning.sweep.wandb import report_dead_trial
from ar_lightning.tracking.wandb_run import training_run
from tests.support.wandb_home import KEY, PATIENCE, clean_environment, no_process_left, sync
from tests.support.wandb_stub import StubRun, WandbStub

ROOT = Path(__file__).parents[2]
TRIAL = """
base: {root}/conf/nade.yaml
experiment: digits
tracking: {{id: digits-0007, name: digits/0007, group: digits, job_type: trial, tags: [sweep, nade], mode: {mode}}}
trainer: {{accelerator: cpu, devices: 1}}
"""
REASON = "-9: out of memory (killed)"


def trial_in(folder: Path, mode: str = "online") -> tuple[Path, Path]:
    """Return the config file and the run directory of a trial."""
    config = folder / "0007.yaml"
    config.write_text(TRIAL.format(root=ROOT, mode=mode))
    return config, folder / "0007"


def told(config: Path, run_dir: Path) -> str:
    """Let W&B be told, and return what the process said."""
    process = report_dead_trial(config, run_dir, REASON)
    assert process is not None and process.wait(PATIENCE) == 0
    return (run_dir / "wandb" / "dead-trial.log").read_text()


def check(run: StubRun) -> None:
    """Check that the run is the trial's, and that it has failed."""
    assert (run.id, run.name, run.group, run.job_type) == ("digits-0007", "digits/0007", "digits", "trial")
    assert set(run.tags) == {"sweep", "nade"}
    assert (run.summary["state"], run.summary["reason"], run.exit_code) == ("failed", REASON, 1)
    assert run.config["model"]["hidden"] == 200, "the whole config is there"


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_training_that_was_killed(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    config, run_dir = trial_in(tmp_path)
    known = {"WANDB_BASE_URL": stub.url, "WANDB_API_KEY": KEY, "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1"}
    command = [sys.executable, str(ROOT / "run.py"), "--config", str(config), f"run_dir={run_dir}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=clean_environment(tmp_path, **known), stdout=log, stderr=log, start_new_session=True
        )
    wait_for(lambda: bool(stub.runs) and bool(stub.run.values("val/bpd")))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = len(stub.run.history)

    told(config, run_dir)
    check(stub.run)
    assert len(stub.run.history) >= before, "what had arrived is still there"
    assert no_process_left(tmp_path)


BEGUN = """
import os, sys
from pathlib import Path
from ar_lightning.config.resolve import load_config
from ar_lightning.tracking.wandb_run import training_run

config = load_config(sys.argv[1])
run = training_run(Path(sys.argv[2]), config, config["tracking"], print)
for step in range(int(sys.argv[3])):
    run.log("log", lambda: {"train/bpd": 4.0, "noise": [step] * 30}, step)
run.run.step  # waits until W&B's process has them
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 2000])
def test_offline_it_is_synced_later(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path, steps: int) -> None:
    """Also where W&B had written nothing before the kill, which would stop `wandb sync`."""
    config, run_dir = trial_in(tmp_path, "offline")
    done = subprocess.run([sys.executable, "-c", BEGUN, str(config), str(run_dir), str(steps)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    output = told(config, run_dir)
    assert stub.requests == [] and output.count("W&B: the run is offline") == 1
    sync(tmp_path, output, stub)
    check(stub.run)
    assert bool(stub.run.history) == bool(steps)


def test_a_trial_that_died_before_it_began(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    told(*trial_in(tmp_path))
    check(stub.run)


def test_a_trial_that_has_told_it_itself_is_left_alone(
    online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path
) -> None:
    config, run_dir = trial_in(tmp_path)
    settings = load_config(config)
    run = training_run(run_dir, settings, settings["tracking"], print)
    assert run is not None
    run.finish(exit_code=1)
    assert report_dead_trial(config, run_dir, REASON) is None
    assert stub.run.exit_code == 1


@pytest.mark.parametrize("config", ["tracking: {mode: disabled}", "modle: {name: nade}", None])
def test_nothing_is_started_in_vain(online: pytest.MonkeyPatch, tmp_path: Path, config: str | None) -> None:
    file = tmp_path / "0007.yaml"
    if config is not None:
        file.write_text(f"base: {ROOT}/conf/nade.yaml\n{config}\n")
    assert report_dead_trial(file, tmp_path / "0007", REASON) is None
    assert not (tmp_path / "0007").exists()


def test_it_is_cheap() -> None:
    heavy = "{'torch', 'lightning', 'wandb', 'matplotlib'}"
    code = f"import sys, ar_lightning.sweep.wandb; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
