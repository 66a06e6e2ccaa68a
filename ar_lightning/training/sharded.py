"""Fully sharded data parallelism: each process keeps a share of weights, gradients and moments, and gathers a layer's.

Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter models", 2020; Zhao et al., "PyTorch
FSDP: Experiences on scaling fully sharded data parallel", 2023; here by PyTorch's `fully_shard`. Batches, losses and
checkpoints are those of DDP. To validate, sample and test, each process has the whole weights for that time, since the
shares of these that processes have differ in size.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard, register_fsdp_forward_method
from torch.distributed.fsdp import OptimStateKeyType as Keys
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ar_lightning.density.density import Density

__all__ = ["FullySharded", "gather", "shard", "whole"]

OF_RANK_0 = StateDictOptions(full_state_dict=True, cpu_offload=True)  # whole, and of the others empty
rekey_optim_state_dict = FullyShardedDataParallel.rekey_optim_state_dict  # by name, or by number as PyTorch saves it


class FullySharded(DDPStrategy):
    """Lightning's DDP, but the weights of each layer are shared out; its checkpoints are ordinary ones, of rank 0."""

    def configure_ddp(self) -> None:
        shard(self._module.density)  # type: ignore[arg-type]

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return get_model_state_dict(self._module, options=OF_RANK_0)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        inner = getattr(optimizer, "optimizer", optimizer)  # not Lightning's wrapper
        named = get_optimizer_state_dict(self._module, inner, options=OF_RANK_0)
        return rekey_optim_state_dict(named, Keys.PARAM_ID, self._module) if self.is_global_zero else {}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            named = rekey_optim_state_dict(state, Keys.PARAM_NAME, self._module)
            set_optimizer_state_dict(self._module, optimizer, named, options=StateDictOptions(full_state_dict=True))

    @property
    def _module(self) -> nn.Module:
        assert self.lightning_module is not None
        return self.lightning_module


def shard(density: Density) -> None:
    """Share the weights of a density out over all processes, layer by layer, in place."""
    device = next(density.parameters()).device
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for p in density.parameters():
        p.data = p.data.contiguous()  # kernels may be laid out by channel, of which PyTorch takes no shares
    for block in density.model.get_submodule(density.model.blocks).children():
        fully_shard(block, mesh=mesh)
    fully_shard(density, mesh=mesh)
    for method in ("loss", "log_prob"):
        register_fsdp_forward_method(density, method)


def gather(density: nn.Module, on: bool = True) -> None:
    """Give each process the whole weights, until they are shared out again (`on=False`), if ever they were."""
    for module in density.modules():
        if isinstance(module, FSDPModule):
            if module is not density:
                module.set_reshard_after_forward(not on, recurse=False)
            (module.unshard if on else module.reshard)()


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor of which each process has a share, if it is one, on all of them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
