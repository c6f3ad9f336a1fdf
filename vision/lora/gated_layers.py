"""Putting peft's LoRA with a gate on layers, and taking it off again."""

import math
import re
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import LoraLayer
from torch import nn
from torch.nn.modules.conv import _ConvNd

from vision.lora.adapters import inject_config
from vision.lora.candidate import Candidate
from vision.lora.gate import Gate
from vision.lora.gated_variant import GatedVariant


def peft_config(ranks: dict[str, int], scale: float) -> LoraConfig:
    """peft's settings for exactly these layers, with ``lora_alpha = scale rank``.

    Args:
        ranks: rank by full name of a layer.
        scale: ``lora_alpha / rank``.
    """
    first = next(iter(ranks.values()))
    # Expressions that are anchored: peft takes a bare name for the end of longer ones too.
    others = {f"^{re.escape(name)}": rank for name, rank in ranks.items() if rank != first}
    return LoraConfig(
        r=first,
        lora_alpha=scale * first,  # pyright: ignore[reportArgumentType]
        target_modules="|".join(re.escape(name) for name in ranks),
        rank_pattern=others,
        alpha_pattern={name: scale * rank for name, rank in others.items()},  # pyright: ignore[reportArgumentType]
    )


def add_layers(
    network: nn.Module, candidates: Iterable[Candidate], gates: dict[str, Gate], scale: float, adapter: str
) -> None:
    """Puts a gated LoRA on the candidates' layers, in place."""
    candidates = list(candidates)
    ranks = {layer: candidate.rank for candidate in candidates for layer in candidate.layers}
    with warnings.catch_warnings():
        # That the network carries another adapter already, and that peft cannot merge convolutions of groups.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        warnings.filterwarnings("ignore", "LoRA adapter added to ConvNd layer")
        inject_config(network, peft_config(ranks, scale), adapter)
    for candidate in candidates:
        for name in candidate.layers:
            layer = lora_layer(network, name)
            base = layer.get_base_layer()
            if base.weight.dtype in (torch.bfloat16, torch.float16):
                # A small step on a weight of half precision changes nothing.
                for factors in (layer.lora_A, layer.lora_B):
                    factors[adapter].float()
            if isinstance(base, _ConvNd):
                if candidate.conv_form == "loralib":
                    _use_loralib_factors(layer, base, candidate.rank, adapter)
                else:
                    _use_geometry(layer.lora_A[adapter], base)
            if not hasattr(layer, "lora_gate"):
                layer.lora_gate = nn.ModuleDict()
                layer.adapter_layer_names = (*layer.adapter_layer_names, "lora_gate")
            # At least float32, as the factors.
            kind = torch.promote_types(base.weight.dtype, torch.float32)
            layer.lora_gate[adapter] = gates[candidate.name].to(base.weight.device, kind)  # pyright: ignore
            layer.lora_variant[adapter] = GatedVariant()


def remove_layers(network: nn.Module, names: Iterable[str], adapter: str) -> None:
    """Takes an adapter off, in place; a layer that has no other is what it was before."""
    for name in names:
        layer = lora_layer(network, name)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Adapter .* was active which is now deleted")
            layer.delete_adapter(adapter)
        if not layer.lora_A:
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, layer.get_base_layer())
    del network.peft_config[adapter]  # pyright: ignore
    if not network.peft_config:  # pyright: ignore
        del network.peft_config
        network._hf_peft_config_loaded = False  # pyright: ignore


def lora_layer(network: nn.Module, name: str) -> Any:
    """peft's layer of this name, a ``LoraLayer``."""
    return network.get_submodule(name)


def changes_geometry(base: nn.Module) -> bool:
    """Whether peft's own loader would build other convolutions: it knows no dilation and pads with zeros."""
    if not isinstance(base, _ConvNd) or math.prod(base.kernel_size) == 1:
        return False
    pads = base.padding_mode != "zeros" and base.padding not in (0, "valid") and any(base.padding)  # pyright: ignore
    return pads or math.prod(base.dilation) > 1


def _use_geometry(factor: nn.Module, base: _ConvNd) -> None:
    assert isinstance(factor, _ConvNd)
    factor.dilation, factor.padding_mode = base.dilation, base.padding_mode
    factor._reversed_padding_repeated_twice = list(base._reversed_padding_repeated_twice)


def _use_loralib_factors(layer: LoraLayer, base: _ConvNd, rank: int, adapter: str) -> None:
    side = base.kernel_size[0]
    like = layer.lora_A[adapter].weight
    for container, inputs, outputs in (
        (layer.lora_A, base.in_channels * side, rank * side),
        (layer.lora_B, rank * side, base.out_channels * side),
    ):
        factor = nn.Linear(inputs, outputs, bias=False, device=like.device, dtype=like.dtype)
        container[adapter] = factor
    nn.init.kaiming_uniform_(layer.lora_A[adapter].weight, a=math.sqrt(5))  # pyright: ignore
    nn.init.zeros_(layer.lora_B[adapter].weight)  # pyright: ignore
