"""Puts networks where they run: device, precision, recomputation, compilation, DDP or shards."""

import warnings

import torch
from accelerate import Accelerator
from torch import nn

from train.methods.method import Method
from train.recipes.train import TrainRecipe
from train.sharding import make_mesh, shard_network
from train.trained_network import TrainedNetwork
from vision.lora.shared_base import base_of
from vision.transformer.blocks import repeated_blocks


def place_networks(
    method: Method, recipe: TrainRecipe, accelerator: Accelerator, ema_of: list[str]
) -> dict[str, TrainedNetwork]:
    """Moves, casts and wraps a method's networks, in place, and gives each trained one its optimizer.

    What is trained is kept in float32 (master weights) and computed in bfloat16 by autocast where the
    recipe says so; what is frozen is then kept in bfloat16. Weights that networks share
    (:class:`vision.lora.shared_base.AdapterView`) are moved, cast, compiled and sharded once.

    Raises:
        ValueError: a network lacks what a switch of the recipe needs, or ``ema_of`` names none.
    """
    unknown = sorted(set(ema_of) - set(method.networks))
    if unknown:
        raise ValueError(
            f"train.ema_of names {unknown[0]!r}; the trained networks are {', '.join(method.networks)}"
        )
    mesh = make_mesh(accelerator.device) if recipe.sharding == "fsdp2" else None
    bf16 = recipe.mixed_precision == "bf16"
    for network in method.frozen.values():
        network.requires_grad_(False).eval()
    networks = (*method.frozen.values(), *method.networks.values())
    for network in dict.fromkeys(base_of(network) for network in networks):
        cast_weights(network, bf16)
        network.to(accelerator.device)
        if recipe.compile:
            _compile_blocks(network)
        if mesh is not None:
            shard_network(network, mesh, bf16)

    trained = {}
    for name, network in method.networks.items():
        network.train()
        if recipe.gradient_checkpointing:
            _recompute_blocks(network)
        wrapped = network if mesh is not None else _replicate(network, accelerator)
        updates = recipe.steps // method.every[name]
        trained[name] = TrainedNetwork(name, wrapped, recipe, updates, averaged=name in ema_of)
        method.networks[name] = wrapped
    return trained


@torch.no_grad()
def cast_weights(network: nn.Module, bf16: bool) -> None:
    """Trained weights to float32; with ``bf16`` the others to bfloat16.

    Modules that diffusers' ``_keep_in_fp32_modules`` names stay as they are.
    """
    kept = getattr(network, "_keep_in_fp32_modules", None) or []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
        elif bf16 and not any(part in kept for part in name.split(".")):
            parameter.data = parameter.data.bfloat16()


def _replicate(network: nn.Module, accelerator: Accelerator) -> nn.Module:
    with warnings.catch_warnings():
        # Newer torch has another name for broadcast_buffers, older torch and accelerate do not know it.
        warnings.simplefilter("ignore", FutureWarning)
        return accelerator.prepare_model(network)


def _compile_blocks(network: nn.Module) -> None:
    blocks = repeated_blocks(network)
    if not blocks:
        raise ValueError(
            f"train.compile compiles repeated blocks, and {type(network).__name__} names none "
            f"(`_repeated_blocks`); set train.compile: false"
        )
    # A block is compiled anew for each adapter; past torch's limit it would fall back to Python.
    adapters = len(getattr(network, "peft_config", {}))
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, 8 * (1 + adapters))
    for block in blocks:
        block.compile()


def _recompute_blocks(network: nn.Module) -> None:
    if not hasattr(base_of(network), "enable_gradient_checkpointing"):
        raise ValueError(
            f"{type(base_of(network)).__name__} has no enable_gradient_checkpointing(); "
            f"set train.gradient_checkpointing: false"
        )
    network.enable_gradient_checkpointing()  # pyright: ignore[reportCallIssue] - diffusers' ModelMixin
