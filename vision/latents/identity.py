"""What a cached tensor was made by: a hash of a network's weights and configuration."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# What a library notes about itself changes nothing in what a network computes.
_NOT_IDENTITY = {"transformers_version", "dtype", "torch_dtype", "architectures"}


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Hash of named tensors: names, element types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Hash of a value that JSON can hold; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def named_generator(*parts: Any) -> torch.Generator:
    """A generator on the CPU that is the same for the same parts, which JSON can hold."""
    return torch.Generator().manual_seed(int(hash_json(list(parts)), 16) % 2**63)


def network_identity(network: nn.Module) -> str:
    """Hash of a network's class, configuration, weights and buffers.

    Args:
        network: a transformers or diffusers model, with a ``config``. Where it was loaded from, and by
            which version, does not matter.
    """
    config: Any = network.config
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    kept = {k: v for k, v in values.items() if not k.startswith("_") and k not in _NOT_IDENTITY}
    return hash_json([type(network).__name__, kept, hash_tensors(network.state_dict())])
