"""SLURM: a plain process inside of an allocation is no task of srun, and trains on its own."""

import os

import pytest
from lightning.pytorch.plugins.environments import SLURMEnvironment

from ar_lightning.config.slurm import RANKS, check_nodes, check_tasks, leave_allocation, srun_tasks
from ar_lightning.core.errors import UserError
from ar_lightning.core.notice import notice

JOB = {"SLURM_JOB_ID": "1234567", "SLURM_NODELIST": "localhost", "SLURM_NNODES": "1", "SLURM_JOB_NAME": "train"}
TASK = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
PLAIN = [  # salloc, sbatch, srun of one task, and a shell of srun
    {"SLURM_NTASKS": "4"},
    {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", **TASK},
    {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1", **TASK},
    {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PTY_PORT": "41000", **TASK},
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    notice.cache_clear()
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name in RANKS:
        monkeypatch.setenv(name, "")  # restored after the test
        monkeypatch.delenv(name)


@pytest.mark.parametrize("job", PLAIN)
def test_a_plain_process_leaves_the_allocation(
    job: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**JOB, **job}.items():
        monkeypatch.setenv(name, value)
    leave_allocation()
    assert not SLURMEnvironment.detect() and not set(RANKS) & set(os.environ)
    assert capsys.readouterr().err.startswith("note: inside a SLURM allocation, but")
    check_tasks(1)
    check_tasks(2)  # processes of its own
    with pytest.raises(UserError, match=r"trainer\.num_nodes=2: start it on each of them"):
        check_nodes({"num_nodes": 2})


def test_tasks_of_srun_stay_what_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {**JOB, "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", **TASK}.items():
        monkeypatch.setenv(name, value)
    leave_allocation()
    assert srun_tasks() == 4 and SLURMEnvironment.detect() and "SLURM_PROCID" in os.environ
    assert capsys.readouterr().err == ""
    check_nodes({"num_nodes": 2})
    check_tasks(4)
    with pytest.raises(UserError, match=r"srun started 4 tasks, but trainer\.devices x trainer\.num_nodes are 1"):
        check_tasks(1)


def test_outside_of_a_job_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    leave_allocation()
    assert capsys.readouterr().err == ""
