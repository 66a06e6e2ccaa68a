"""Where trials run: groups of devices, and an environment without traces of the job that the sweep itself runs in."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ar_lightning.checks import may_have
from ar_lightning.errors import UserError

__all__ = ["Slot", "scrubbed", "slots_of"]

# A trial that sees these would take itself for a rank of the job that the sweep was started by.
RANK_VARIABLES = re.compile(
    r"(LOCAL_|GLOBAL_|GROUP_|NODE_|ROLE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME|MASTER_(ADDR|PORT)"
    r"|(SLURM|SRUN|TORCHELASTIC|PMI|PMIX|OMPI|MPI|JSM|LSB)_.*|AR_LIGHTNING_(RUN_DIR|TRIAL)|WANDB_(RUN|SWEEP|RESUME).*"
)


@dataclass(frozen=True)
class Slot:
    """A place for one trial at a time.

    Args:
        gpus: comma-separated GPU names, empty for none.
        threads: CPU threads of each of its processes; None leaves them to PyTorch.
    """

    gpus: str = ""
    threads: int | None = None

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a trial here."""
        return {**scrubbed(env), **({"CUDA_VISIBLE_DEVICES": self.gpus} if self.gpus else {})}


def scrubbed(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without ranks, rendezvous, and W&B runs of an outer job.

    Example:
        >>> scrubbed({"RANK": "1", "SLURM_JOB_ID": "7", "MASTER_PORT": "1", "HOME": "/root"})
        {'HOME': '/root'}
    """
    return {key: value for key, value in env.items() if not RANK_VARIABLES.fullmatch(key)}


def slots_of(accelerator: str, devices: str | None, per_trial: int, workers: int | None) -> list[Slot]:
    """Share the machine out: a slot for every worker.

    Args:
        accelerator: the config's `trainer.accelerator`.
        devices: groups such as `0,1;2,3`, or None for the visible ones in order.
        per_trial: devices of a trial.
        workers: trials at the same time; one for each group if None. More workers than groups share GPUs.

    Raises:
        UserError: there are not enough devices.
    """
    groups = _groups(devices, per_trial) if devices else _visible_groups(accelerator, per_trial)
    if not groups:
        count = workers or 1
        processes = count * per_trial
        return [Slot(threads=max(1, _cores() // processes))] * count
    return [Slot(groups[i % len(groups)]) for i in range(workers or len(groups))]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(devices: str, per_trial: int) -> list[str]:
    groups = [group.replace(" ", "") for group in devices.split(";")]
    for group in groups:
        names = group.split(",")
        if not all(re.fullmatch(r"\d+|(GPU|MIG)-[\w-]+", name) for name in names) or len(set(names)) < len(names):
            raise UserError(f"devices={devices}: expected groups of GPUs, such as '0,1;2,3'")
        if len(names) != per_trial:
            raise UserError(f"devices={devices}: devices_per_trial={per_trial}, but the group {group} has {len(names)}")
    return groups


def _visible_groups(accelerator: str, per_trial: int) -> list[str]:
    if accelerator not in ("auto", "gpu", "cuda") or not may_have("cuda"):
        return []
    gpus = _visible_gpus()
    if gpus and len(gpus) < per_trial:
        raise UserError(f"devices_per_trial={per_trial}: only {len(gpus)} GPUs are visible here")
    whole = len(gpus) - len(gpus) % per_trial
    return [",".join(gpus[i : i + per_trial]) for i in range(0, whole, per_trial)]


def _visible_gpus() -> list[str]:
    """Return the names of the visible GPUs, as CUDA_VISIBLE_DEVICES gives them.

    A process of its own counts them: one that has touched CUDA holds memory on a GPU.
    """
    count = "import torch; print(torch.cuda.device_count())"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=False)
    number = int(done.stdout.strip() or 0) if done.returncode == 0 else 0
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:number] if named else [str(i) for i in range(number)]
