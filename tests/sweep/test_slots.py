"""Where trials run: GPUs shared out in groups, CPU threads in equal parts, and no trace of an outer job."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.plugins.environments import LSFEnvironment, SLURMEnvironment, TorchElasticEnvironment

from ar_lightning.core.errors import UserError
from ar_lightning.sweep import launch, slots
from ar_lightning.sweep.slots import Slot, groups_of, scrubbed, slots_of
from ar_lightning.sweep.worker import command_of
from tests.support.commands import ROOT

OUTER = [  # of torchrun, SLURM, MPI, LSF, W&B and this project
    "RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_MAX_RESTARTS",
    "SLURM_JOB_ID", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SRUN_DEBUG",
    "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_RANK", "PALS_RANKID",
    "FLUX_TASK_RANK", "JSM_NAMESPACE_RANK", "LSB_JOBID",
    "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_RESUME", "WANDB_SWEEP_ID", "WANDB_NAME", "WANDB_SERVICE",
    "AR_LIGHTNING_RUN_DIR", "AR_LIGHTNING_TRIAL",
]  # fmt: skip
KEPT = [
    "PATH", "HOME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NCCL_DEBUG", "TORCH_NCCL_ASYNC_ERROR_HANDLING",
    "PYTORCH_CUDA_ALLOC_CONF", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT",
    "WANDB_DIR", "AR_LIGHTNING_DATA", "PGPASSWORD", "MASTER", "FRANK", "SLURMY",
]  # fmt: skip


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs and 12 cores."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(slots, "may_have", lambda accelerator: True)
    monkeypatch.setattr(slots, "_visible_gpus", lambda: ["0", "1", "2", "3"])
    monkeypatch.setattr(slots, "cores", lambda: 12)


@pytest.mark.parametrize("name", OUTER)
def test_a_trial_sees_nothing_of_the_job_around_the_sweep(name: str) -> None:
    assert scrubbed({name: "1", "HOME": "/"}) == {"HOME": "/"}


def test_everything_else_is_kept() -> None:
    env = dict.fromkeys(KEPT, "x")
    assert scrubbed(env) == env
    assert Slot().environment({**env, "RANK": "1"}) == env
    assert Slot("2,3").environment(env) == {**env, "CUDA_VISIBLE_DEVICES": "2,3"}


@pytest.mark.slow
def test_lightning_finds_no_cluster_in_a_scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for env, found in ((dict.fromkeys(OUTER, "1"), True), (scrubbed(dict.fromkeys(OUTER, "1")), False)):
        with monkeypatch.context() as patched:
            for name in OUTER:
                patched.delenv(name, raising=False)
            for name, value in env.items():
                patched.setenv(name, value)
            assert any(e.detect() for e in (SLURMEnvironment, TorchElasticEnvironment, LSFEnvironment)) == found


@pytest.mark.parametrize(
    ("devices", "per_trial", "groups"),
    [
        ("0", 1, ["0"]), ("0;1", 1, ["0", "1"]), ("0,1;2,3", 2, ["0,1", "2,3"]), (" 0, 1 ; 2, 3 ", 2, ["0,1", "2,3"]),
        ("3,2,1,0", 4, ["3,2,1,0"]), ("GPU-8f3a;MIG-11-22", 1, ["GPU-8f3a", "MIG-11-22"]),
    ],
)  # fmt: skip
def test_groups(devices: str, per_trial: int, groups: list[str]) -> None:
    assert groups_of(devices, per_trial) == groups
    assert [slot.gpus for slot in slots_of("auto", devices, per_trial, None)] == groups


@pytest.mark.parametrize(
    ("devices", "options", "answer"),
    [
        ("0,,1", {}, "expected groups of GPUs, such as '0,1;2,3'"),
        (";", {}, "expected groups of GPUs"),
        ("0;1;", {}, "expected groups of GPUs"),
        ("cuda:0", {}, "expected groups of GPUs"),
        ("-1", {}, "expected groups of GPUs"),
        ("0;0", {}, "GPU 0 is there twice; for several trials on a GPU, raise workers"),
        ("0,1;1,2", {"per_trial": 2}, "GPU 1 is there twice"),
        ("0,1", {}, "devices_per_trial=1, but the group 0,1 has 2"),
        ("0;1,2", {"per_trial": 2}, "devices_per_trial=2, but the group 0 has 1"),
        ("0", {"accelerator": "cpu"}, "trainer.accelerator=cpu has no GPUs to choose from"),
    ],
)
def test_devices_that_are_none(devices: str, options: dict[str, Any], answer: str) -> None:
    with pytest.raises(UserError) as error:
        groups_of(devices, **{"per_trial": 1, **options})
    assert str(error.value).startswith(f"devices={devices}: ") and answer in str(error.value)


def test_a_job_cannot_take_the_devices_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 5")
    assert groups_of("5;4", 1) == ["5", "4"]
    with pytest.raises(UserError, match="GPU 0 is not among CUDA_VISIBLE_DEVICES=4,5"):
        groups_of("0;1", 1)


def test_devices_are_none_where_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "may_have", lambda accelerator: False)
    with pytest.raises(UserError, match="devices=0: this machine has no GPUs"):
        groups_of("0", 1)
    assert slots_of("auto", None, 1, 2) == [Slot("", 6)] * 2


@pytest.mark.parametrize(
    ("per_trial", "workers", "gpus", "threads"),
    [
        (1, None, ["0", "1", "2", "3"], 3), (2, None, ["0,1", "2,3"], 3), (3, None, ["0,1,2"], 4),
        (4, 1, ["0,1,2,3"], 3), (1, 2, ["0", "1"], 6), (1, 6, ["0", "1", "2", "3", "0", "1"], 2),
    ],
)  # fmt: skip
def test_visible_gpus_are_shared_out(per_trial: int, workers: int | None, gpus: list[str], threads: int) -> None:
    assert slots_of("auto", None, per_trial, workers) == [Slot(names, threads) for names in gpus]


def test_too_few_gpus() -> None:
    with pytest.raises(UserError, match="devices_per_trial=5: only 4 GPUs are visible here"):
        slots_of("gpu", None, 5, None)


@pytest.mark.parametrize(
    ("per_trial", "workers", "threads"), [(1, None, 12), (1, 2, 6), (2, 2, 3), (1, 5, 2), (2, 50, 1)]
)
def test_cpu_threads_are_shared(per_trial: int, workers: int | None, threads: int) -> None:
    assert slots_of("cpu", None, per_trial, workers) == [Slot("", threads)] * (workers or 1)


def test_no_more_threads_than_the_environment_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, threads in (("2", 2), ("50", 6), ("0", 6), ("many", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert slots_of("cpu", None, 1, 2) == [Slot("", threads)] * 2


@pytest.mark.parametrize(
    ("visible", "counted", "names"),
    [
        ("", "3", ["0", "1", "2"]), ("5,7", "2", ["5", "7"]), ("GPU-a, GPU-b", "2", ["GPU-a", "GPU-b"]),
        ("5,7,99", "2", ["5", "7"]), ("-1", "0", []), ("", "0", []), ("", "a warning\n2", ["0", "1"]),
    ],
)  # fmt: skip
def test_gpus_keep_the_names_that_cuda_visible_devices_gives_them(
    visible: str, counted: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the fixture's machine
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    done = subprocess.CompletedProcess([], 0, stdout=counted + "\n")
    monkeypatch.setattr(slots.subprocess, "run", lambda *_, **__: done)  # type: ignore[attr-defined]
    assert slots._visible_gpus() == names


def test_a_machine_without_cuda_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert slots._visible_gpus() == []


def test_workers_find_the_package_where_the_launcher_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    assert launch._environment()["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "mine"]
    monkeypatch.setattr(launch.sysconfig, "get_path", lambda name: str(ROOT))
    assert launch._environment()["PYTHONPATH"] == "mine", "installed: it is found anyway"


def test_a_trial_is_started_by_the_module(tmp_path: Path) -> None:
    config, run_dir = tmp_path / "0000.yaml", tmp_path / "0000"
    started = [sys.executable, "-m", "ar_lightning", "fit"]
    assert command_of(config, run_dir, False) == [*started, "--config", str(config), f"run_dir={run_dir}"]
    assert command_of(config, run_dir, True) == [*started, "--resume", str(run_dir)]
