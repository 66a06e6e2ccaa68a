"""SLURM: whether srun started this process as one of several tasks, or it merely runs inside of an allocation."""

import os

from ar_lightning.core.errors import UserError
from ar_lightning.core.notice import notice

__all__ = ["check_nodes", "check_tasks", "leave_allocation", "srun_tasks"]

# What an allocation gives to every process inside of it, and Lightning would take for a task of srun.
RANKS = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")


def srun_tasks() -> int:
    """Return how many tasks srun started together with this one; 1 where it did not, as in an interactive shell."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    return int(tasks) if tasks.isdecimal() and "SLURM_PTY_PORT" not in os.environ else 1


def leave_allocation() -> None:
    """Let a process that is no task of srun train on its own, and say so."""
    if srun_tasks() > 1 or not any(name in os.environ for name in RANKS):
        return
    for name in RANKS:
        os.environ.pop(name, None)
    notice("inside a SLURM allocation, but not one of several tasks of srun: this process computes on its own")


def check_nodes(trainer: dict[str, int]) -> None:
    """Refuse several nodes where nothing says which one this is: the training would wait for the others for ever."""
    nodes = trainer["num_nodes"]
    if nodes > 1 and srun_tasks() == 1 and not {"NODE_RANK", "GROUP_RANK", "RANK", "MASTER_ADDR"} & set(os.environ):
        raise UserError(f"trainer.num_nodes={nodes}: start it on each of them, with srun or torchrun")


def check_tasks(world_size: int) -> None:
    """Refuse a number of processes that is not that of srun's tasks: each would train by itself, in one place."""
    if srun_tasks() not in (1, world_size):
        asked = f"trainer.devices x trainer.num_nodes are {world_size}"
        raise UserError(f"srun started {srun_tasks()} tasks, but {asked}; make them the same")
