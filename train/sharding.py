"""torch's own FSDP2, applied to a network from outside."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from vision.processes import leave_at_exit
from vision.transformer.blocks import repeated_blocks


def make_mesh(device: torch.device) -> DeviceMesh:
    """One dimension over every process of the run; one process alone gets a group of its own."""
    if not torch.distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
        leave_at_exit()
    return init_device_mesh(device.type, (torch.distributed.get_world_size(),))


def shard_network(network: nn.Module, mesh: DeviceMesh, bf16: bool) -> None:
    """Shards each block that the network repeats, then what is left, in place.

    Blocks are what a model of diffusers names as such, else the list ``network.blocks``.

    Weights are gathered in bfloat16 where ``bf16`` is set; shards stay as they are (float32 for what is
    trained), gradients are reduced in float32. Inputs keep their type, since a timestep of 0..1000 has no
    room in bfloat16.

    Raises:
        ValueError: the network has no blocks.
    """
    blocks = repeated_blocks(network) or list(getattr(network, "blocks", ()))
    if not blocks:
        raise ValueError(
            f"train.sharding is fsdp2, which gathers a network block by block, and {type(network).__name__} "
            "neither names any (_no_split_modules, _repeated_blocks) nor has a list `blocks`; "
            "set train.sharding: none"
        )
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    # Resharded after each forward, the root's own weights too: between calls parameters are always shards.
    for part in (*blocks, network):
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a sharded tensor, sharing its memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, gathered from all processes; any other tensor as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_state_dict(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU, where ``keep`` is set; gathered one by one, so all processes must call it."""
    gathered = {}
    for name, tensor in tensors.items():
        whole = full(tensor.detach())
        if keep:
            gathered[name] = whole.to("cpu", copy=True)
    return gathered
