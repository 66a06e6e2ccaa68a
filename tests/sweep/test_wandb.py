"""The sweep's own W&B run: a table of all trials, whatever was interrupted, and what came of them."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from ar_lightning.core.errors import UserError
from ar_lightning.sweep.definition import Sweep
from ar_lightning.sweep.wandb import record_sweep
from tests.support.studies import BPD, PLAIN, SPEED, new_study, searched, trial
from tests.support.wandb_home import KEY, clean_environment, no_process_left, python
from tests.support.wandb_stub import StubRun, WandbStub

ROOT = Path(__file__).parents[2]
HOST = socket.gethostname()
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def sweep_in(folder: Path, objectives: tuple[dict[str, str], ...] = (BPD,), **keys: Any) -> Sweep:
    base = {"model.name": "nade", "tracking.tags": ["mine"], "tracking.project": "searches"}
    return Sweep(
        "conf/nade.yaml", base, PLAIN, [*objectives], {"name": "tpe", "seed": 0}, {"name": "none"},
        **{"study": "digits", "trials": 5, "sweep_dir": str(folder), **keys},
    )  # fmt: skip


def five() -> Study:
    """Return a study with trials of all kinds, of which the fourth is the best."""
    study = new_study()
    lr = {"optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}
    ends: list[tuple[TrialState, float | None, dict[str, Any]]] = [
        (TrialState.COMPLETE, 2.5, {}),
        (TrialState.PRUNED, None, {}),
        (TrialState.FAIL, None, {"outcome": "failed", "reason": "out of memory"}),
        (TrialState.COMPLETE, 2.25, {}),
        (TrialState.COMPLETE, 2.75, {}),
    ]
    for i, (state, value, attrs) in enumerate(ends):
        study.add_trial(trial(state, value, {"optimizer.lr": 0.01 / (i + 1)}, lr, seconds=10 + i, **attrs))
    return study


def table(run: StubRun) -> dict[str, Any]:
    """Return the table of trials that W&B shows: the last that was logged."""
    (shown,) = [json.loads(run.files[row["trials"]["path"]]) for row in run.history if "trials" in row][-1:]
    return dict(shown)


def report(folder: Path) -> dict[str, Path]:
    """Return files as a report has them."""
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    files = {"best config": folder / "best.yaml", "history": folder / "plots" / "history.png"}
    files["best config"].write_text("model: {name: nade}\n")
    files["history"].write_bytes(PIXEL)
    return files


def test_a_sweep_arrives(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    record_sweep(sweep_in(folder), five(), report(folder))

    run = stub.run
    assert (run.id, run.project, run.group, run.job_type) == (f"digits-sweep-{HOST}", "searches", "digits", "sweep")
    assert (run.name, sorted(run.tags), run.exit_code) == ("digits/sweep", ["mine", "sweep"], 0)
    assert run.config["space"] == PLAIN and run.config["sampler"] == {"name": "tpe", "seed": 0}
    assert run.config["trials"] == 5 and run.config["base"]["model.name"] == "nade"

    assert (run.summary["best/val/bpd"], run.summary["best_trial/val/bpd"]) == (2.25, 3)
    assert {k: v for k, v in run.summary.items() if k.startswith("trials/")} == {
        "trials/complete": 3, "trials/pruned": 1, "trials/failed": 1,
    }  # fmt: skip
    assert run.summary["state"] == "complete"
    assert run.files["best.yaml"] == b"model: {name: nade}\n"
    (picture,) = (content for name, content in run.files.items() if name.startswith("media/images/plots/history"))
    assert picture == PIXEL
    shown = table(run)
    assert shown["columns"] == ["trial", "state", "val/bpd", "optimizer.lr", "seconds", "run", "reason"]
    assert [row[:3] for row in shown["data"]] == [
        [0, "complete", 2.5], [1, "pruned", None], [2, "failed", None], [3, "complete", 2.25], [4, "complete", 2.75],
    ]  # fmt: skip
    assert [row[3] for row in shown["data"]] == [pytest.approx(0.01 / (i + 1)) for i in range(5)]
    assert [row[4] for row in shown["data"]] == [10, 11, 12, 13, 14]
    assert shown["data"][2][6] == "out of memory"
    assert not stub.unknown, "the stand-in knows all that W&B asks"
    assert "WANDB_SERVICE" not in os.environ, "or trials would share the sweep's W&B process, and end it"


def test_importances_are_in_the_summary(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    objectives = (BPD, SPEED)
    record_sweep(sweep_in(tmp_path / "sweep", objectives), searched(20, objectives=objectives), {})
    assert len(table(stub.run)["data"]) == 20
    for metric in ("val/bpd", "samples_per_second"):
        weights = [v for k, v in stub.run.summary.items() if k.startswith(f"importance/{metric}/")]
        assert len(weights) == len(PLAIN) and sum(weights) == pytest.approx(1)
        assert f"best_trial/{metric}" in stub.run.summary


@pytest.mark.slow
def test_a_resumed_sweep_is_the_same_run(online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path) -> None:
    study, folder = five(), tmp_path / "sweep"
    states = []
    for count, total in ((2, 4), (5, 5)):
        record_sweep(sweep_in(folder, trials=total), part(study, count), {})
        states.append(stub.run.summary["state"])
        assert [row[0] for row in table(stub.run)["data"]] == [*range(count)]
    assert states == ["interrupted", "complete"]
    assert stub.run.config["trials"] == 5 and stub.run.summary["trials/complete"] == 3


def part(study: Study, count: int) -> Study:
    """Return a study with the first trials of another."""
    first = new_study()
    first.add_trials(study.trials[:count])
    return first


KILLED = """
import os, sys
from pathlib import Path
from ar_lightning.sweep.wandb import record_sweep
from ar_lightning.tracking.wandb_run import WandbRun
from tests.sweep.test_wandb import five, sweep_in

WandbRun.finish = lambda run: os.kill(os.getpid(), 9)
record_sweep(sweep_in(Path(sys.argv[1])), five(), {})
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_after_kill_9_every_trial_is_there_once(
    online: pytest.MonkeyPatch, stub: WandbStub, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    folder = tmp_path / "sweep"
    known = {"WANDB_BASE_URL": stub.url, "WANDB_API_KEY": KEY, "WANDB_MODE": mode, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, env=clean_environment(tmp_path, **known), check=False
    )
    assert killed.returncode == -signal.SIGKILL

    online.setenv("WANDB_MODE", mode)
    record_sweep(sweep_in(folder), five(), {})
    if mode == "offline":
        assert stub.requests == []
        command = capsys.readouterr().out.split("wandb sync ")[1].split()
        python(tmp_path, "-m", "wandb", "sync", *command, WANDB_BASE_URL=stub.url, WANDB_API_KEY=KEY)
    assert [row[0] for row in table(stub.run)["data"]] == [0, 1, 2, 3, 4]
    assert stub.run.summary["trials/complete"] == 3 and stub.run.exit_code == 0
    assert no_process_left(tmp_path)


def test_a_server_that_is_away_is_two_lines(
    online: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with WandbStub() as server:
        pass
    online.setenv("WANDB_BASE_URL", server.url)
    online.setenv("WANDB_INIT_TIMEOUT", "4")
    record_sweep(sweep_in(tmp_path / "sweep"), five(), {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "cannot go online" in said[0] and "wandb sync" in said[1]


def test_a_disk_that_takes_nothing_is_one_line(
    online: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wandb").write_text("in the way")
    record_sweep(sweep_in(tmp_path), five(), {})
    assert capsys.readouterr().out.count("\n") == 1


def test_a_launcher_waits_for_another_on_the_same_machine(online: pytest.MonkeyPatch, tmp_path: Path) -> None:
    online.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "wandb" / HOST
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=record_sweep, args=(sweep_in(tmp_path), five(), {}))
        waiting.start()
        time.sleep(0.3)
        assert [*folder.iterdir()] == [folder / "lock"]
    waiting.join()
    assert (folder / "wandb" / "ended").exists()


def test_disabled_is_no_record(online: pytest.MonkeyPatch, tmp_path: Path) -> None:
    online.setenv("WANDB_MODE", "disabled")
    record_sweep(sweep_in(tmp_path / "sweep"), five(), {})
    assert not (tmp_path / "sweep").exists()


def test_a_misspelt_mode_is_an_error(online: pytest.MonkeyPatch, tmp_path: Path) -> None:
    online.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="WANDB_MODE=ofline"):
        record_sweep(sweep_in(tmp_path / "sweep"), five(), {})
