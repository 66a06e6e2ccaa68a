"""Slots for trials: a group of devices each, and an environment cleared of the job that the sweep runs in."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ar_lightning.config.devices import cores, may_have
from ar_lightning.core.errors import UserError

__all__ = ["Slot", "groups_of", "scrubbed", "slots_of"]

# A trial that sees these would take itself for a rank of the job that the sweep was started by.
RANK_VARIABLES = re.compile(
    r"(LOCAL_|GLOBAL_|GROUP_|NODE_|ROLE_)?RANK|(LOCAL_|GROUP_|ROLE_)?WORLD_SIZE|ROLE_NAME|MASTER_(ADDR|PORT)"
    r"|(SLURM|SRUN|TORCHELASTIC|PMI|PMIX|OMPI|MPI|MV2|PALS|FLUX|JSM|LSB)_.*|AR_LIGHTNING_(RUN_DIR|TRIAL)"
    r"|WANDB_(RUN|SWEEP|RESUME|NAME|NOTES|TAGS|JOB_TYPE|SERVICE).*"
)


GPUS = ("auto", "gpu", "cuda")  # accelerators that may be GPUs with names


@dataclass(frozen=True)
class Slot:
    """The devices of one trial at a time: names of GPUs, as CUDA_VISIBLE_DEVICES takes them, empty for none.

    `threads` of each of its processes are those on the CPU; None leaves them to PyTorch.
    """

    gpus: str = ""
    threads: int | None = None

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a trial here."""
        return {**scrubbed(env), **({"CUDA_VISIBLE_DEVICES": self.gpus} if self.gpus else {})}


def scrubbed(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the ranks, rendezvous and W&B runs of an outer job.

    Example:
        >>> scrubbed({"RANK": "1", "SLURM_JOB_ID": "7", "MASTER_PORT": "1", "HOME": "/root"})
        {'HOME': '/root'}
    """
    return {key: value for key, value in env.items() if not RANK_VARIABLES.fullmatch(key)}


def slots_of(accelerator: str, devices: str | None, per_trial: int, workers: int | None) -> list[Slot]:
    """Divide the machine into slots, one for each worker; more workers than groups of devices share GPUs.

    Groups such as `0,1;2,3` have so many devices `per_trial`; None are the visible ones in order. There are as many
    workers as groups if None.
    """
    groups = groups_of(devices, per_trial, accelerator) if devices else _visible_groups(accelerator, per_trial)
    count = workers or len(groups) or 1
    allowed = os.environ.get("OMP_NUM_THREADS", "")  # more are far slower on a machine that others use too
    most = int(allowed) if allowed.isdecimal() and int(allowed) > 0 else sys.maxsize
    threads = max(1, min(cores() // (count * per_trial), most))
    return [Slot(groups[i % len(groups)] if groups else "", threads) for i in range(count)]


def groups_of(devices: str, per_trial: int, accelerator: str = "auto") -> list[str]:
    """Return the groups of GPUs in `0,1;2,3`; refuse groups of another size, and GPUs that may not be used here."""
    groups = [group.replace(" ", "") for group in devices.split(";")]
    names = [name for group in groups for name in group.split(",")]
    if not all(re.fullmatch(r"\d+|(GPU|MIG)-[\w-]+", name) for name in names):
        raise UserError(f"devices={devices}: expected groups of GPUs, such as '0,1;2,3'")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"devices={devices}: GPU {twice} is there twice; for several trials on a GPU, raise workers")
    for group in groups:
        if (size := group.count(",") + 1) != per_trial:
            raise UserError(f"devices={devices}: devices_per_trial={per_trial}, but the group {group} has {size}")
    if accelerator not in GPUS or not may_have("cuda"):
        reason = f"trainer.accelerator={accelerator} has" if accelerator not in GPUS else "this machine has"
        raise UserError(f"devices={devices}: {reason} no GPUs to choose from; leave devices out")
    mine = _named_gpus()
    if mine and (other := next((name for name in names if name not in mine), None)):
        raise UserError(f"devices={devices}: GPU {other} is not among CUDA_VISIBLE_DEVICES={','.join(mine)}")
    return groups


def _named_gpus() -> list[str]:
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]


def _visible_groups(accelerator: str, per_trial: int) -> list[str]:
    if accelerator not in GPUS or not may_have("cuda"):
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
    number = int(done.stdout.split()[-1]) if done.returncode == 0 else 0
    return (_named_gpus() or [str(i) for i in range(number)])[:number]
