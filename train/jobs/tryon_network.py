"""The network of a try-on recipe: its blocks, its context blocks, its guider, and what of it is trained."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from train.jobs.located import located
from train.recipes.lora import LoRARecipe
from train.recipes.tryon import TryOnRecipe
from vision.latents import latent_channels, spatial_factor
from vision.lora.adapters import PRESETS, add_lora
from vision.transformer import GUIDER, VideoTransformer
from vision.weights import check_weights

_CONTEXT = ("vace_blocks.", "vace_patch_embedding.")


def tryon_network(recipe: TryOnRecipe, vae: Any) -> VideoTransformer:
    """The network that a run begins with; what is trained requires a gradient.

    Args:
        recipe: of the run.
        vae: its autoencoder, which says how many channels the context has.

    Raises:
        ValueError: weights that do not fit the recipe.
    """
    model, seed = recipe.model, recipe.train.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.weights is None:
            network = blank_network(recipe)
            network.init_weights()
        else:
            name, options = located(model.weights)
            if not options:
                check_weights(Path(name), VideoTransformer)
            network = VideoTransformer.from_pretrained(name, dtype=torch.float32, **options)
        return configured(network, recipe, vae)


def blank_network(recipe: TryOnRecipe) -> VideoTransformer:
    """A network of the right shape, as yet without what the recipe adds, with whatever weights."""
    model = recipe.model
    if model.architecture is not None:
        return VideoTransformer(**model.architecture.model_dump())
    assert model.weights is not None
    name, options = located(model.weights)
    if model.configurations is not None:
        name, options = str(Path(model.configurations) / "transformer"), {}
    config: Any = VideoTransformer.load_config(name, **options)
    network: Any = VideoTransformer.from_config(config)
    return network


def configured(network: VideoTransformer, recipe: TryOnRecipe, vae: Any) -> VideoTransformer:
    """Adds context blocks, guider and adapter where the recipe wants them, and marks what is trained."""
    _add_context(network, recipe, vae)
    _add_guider(network, recipe)
    if recipe.trained == "lora":
        lora = recipe.lora or LoRARecipe()
        add_lora(network, lora.rank, lora.alpha, _without_guider(lora.target_modules), seed=recipe.train.seed)
    for name, parameter in network.named_parameters():
        if recipe.trained == "guider":
            parameter.requires_grad_(name.startswith("guides."))
        elif recipe.trained == "guider_context":
            parameter.requires_grad_(name.startswith(("guides.", *_CONTEXT)))
        elif recipe.trained == "lora" and name.startswith("guides."):
            parameter.requires_grad_(True)
    return network


def with_weights(network: VideoTransformer, weights: Mapping[str, Tensor]) -> VideoTransformer:
    """The network with its trained parameters replaced, and its adapters merged into what they adapt."""
    assert weights.keys() == {name for name, p in network.named_parameters() if p.requires_grad}
    network.load_state_dict({**network.state_dict(), **weights})
    for name, layer in list(network.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            place, _, own = name.rpartition(".")
            parent = network.get_submodule(place)
            base = layer.get_base_layer()
            assert isinstance(base, nn.Module)
            setattr(parent, own, base)
    return network


def _add_context(network: VideoTransformer, recipe: TryOnRecipe, vae: Any) -> None:
    config: Any = network.config
    layers = recipe.model.vace_layers
    if config.get("vace_layers"):
        if layers is not None and layers != config["vace_layers"]:
            raise ValueError(
                f"the weights have context blocks at {config['vace_layers']}, the recipe asks for {layers}; "
                "leave model.vace_layers out"
            )
        return
    if layers is None:
        raise ValueError(
            "the weights have no context blocks, through which garment and pose come in; give "
            "model.vace_layers, for instance every second block, or begin from a VACE model"
        )
    channels = latent_channels(vae)
    assert channels is not None
    network.add_conditioning(
        "vace",
        vace_layers=layers,
        vace_in_channels=channels * (2 if recipe.model.split_context else 1) + spatial_factor(vae) ** 2,
    )


def _add_guider(network: VideoTransformer, recipe: TryOnRecipe) -> None:
    found = (network.config.get("conditioning") or {}).get(GUIDER)
    if recipe.guider is None:
        if found is not None:
            raise ValueError("the weights have a guider and the recipe's is null; leave guider out")
        return
    wanted = recipe.guider.options
    if recipe.timing.kind == "concat_time":
        wanted["spans"] = True
    if found is None:
        network.add_conditioning(GUIDER, **wanted)
    elif recipe.guider.options and wanted != found:
        raise ValueError(
            f"the weights have a guider with the options {found}, the recipe asks for {wanted}; leave these "
            "out, or begin from other weights"
        )


def _without_guider(targets: list[str] | str) -> str:
    """A regular expression of the same layers outside the guider, which is trained whole."""
    if isinstance(targets, str):
        names = PRESETS.get(targets, targets)
    else:
        names = rf"(.*\.)?({'|'.join(map(re.escape, targets))})"
    return rf"(?!guides\.)({names})"
