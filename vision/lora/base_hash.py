"""Which network an adapter was made for, told from the network's weights."""

import hashlib
import warnings
from collections.abc import Mapping

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

#: Entry of an adapter's header.
BASE_HASH_KEY = "base_model_hash"


@torch.no_grad()
def base_hash(network: nn.Module) -> str:
    """SHA-256 of a network's names, shapes and values without adapters, as 64 hexadecimal digits.

    Values are those of floating-point parameters and buffers, rounded to bfloat16: a network has one hash,
    loaded in float32 or in bfloat16.
    """
    inside = [f"{name}." for name, part in network.named_modules() if isinstance(part, BaseTunerLayer)]
    entries = {}
    for name, value in network.state_dict().items():
        prefix = next((p for p in inside if name.startswith(p)), None)
        if prefix is not None:
            if not name.startswith(f"{prefix}base_layer."):
                continue
            name = prefix + name.removeprefix(f"{prefix}base_layer.")
        if value.is_floating_point():
            entries[name] = value
    digest = hashlib.sha256()
    for name, value in sorted(entries.items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        rounded = value.detach().to(torch.bfloat16).flatten().contiguous()
        digest.update(rounded.view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()


def check_base_hash(network: nn.Module, metadata: Mapping[str, str], source: str) -> None:
    """ValueError where an adapter's header names the hash of another network; one without a hash passes.

    A network in float16 passes with a warning: rounded twice, its values no longer tell.
    """
    expected = metadata.get(BASE_HASH_KEY)
    if expected is None or expected == (found := base_hash(network)):
        return
    if any(value.dtype == torch.float16 for value in network.state_dict().values()):
        warnings.warn(
            f"{source} names its base by a hash that a network in float16 does not have, so whether this is "
            "the base is not checked; in bfloat16 and float32 it is",
            stacklevel=3,
        )
    else:
        raise ValueError(
            f"{source} was made for a network with other weights (its hash is {expected[:12]}, this "
            f"{type(network).__name__} has {found[:12]}); load the base that it was trained on"
        )
