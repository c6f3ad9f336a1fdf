"""What a backward pass needs, as autograd keeps it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def saved_bytes(network: nn.Module, call: Callable[[nn.Module], Tensor], bf16: bool) -> int:
    """Bytes that autograd keeps of a call, without the weights and bfloat16 copies of them."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    shapes = {shape for p in network.parameters() for shape in (tuple(p.shape), tuple(p.shape[::-1]))}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        is_copy = tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes
        if address not in weights and not is_copy:
            kept[address] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        output = call(network)
    assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
