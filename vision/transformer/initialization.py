"""How fresh layers are drawn."""

import torch
from torch import nn


def reset_layers(module: nn.Module) -> None:
    """Linear layers Xavier uniform with zero bias, norms at one and zero, as the original Wan draws them."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm | nn.RMSNorm) and part.elementwise_affine:
            part.reset_parameters()


def reset_patches(embedding: nn.Conv3d) -> None:
    """A patch embedding as a linear layer of :func:`reset_layers`."""
    nn.init.xavier_uniform_(embedding.weight.flatten(1))
    assert embedding.bias is not None
    nn.init.zeros_(embedding.bias)


def zero(*layers: nn.Linear) -> None:
    """Layers that give zero."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def copy_weights(target: nn.Module, source: nn.Module) -> None:
    """Copies all parameters of ``target`` from those of the same names of ``source``, which may have more.

    Raises:
        ValueError: a name is missing, as under an adapter.
    """
    values = dict(source.named_parameters())
    for name, parameter in target.named_parameters():
        if name not in values:
            raise ValueError(
                f"{type(source).__name__} has no {name} to start from; merge or remove its adapters first"
            )
        parameter.copy_(values[name])
