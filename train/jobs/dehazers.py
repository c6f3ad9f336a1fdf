"""The dehazing pipelines that recipes name, and the objectives that their networks take."""

from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from train.estimate import Estimate, Load, NetworkSize, estimate
from train.methods.dehaze_objectives import Objective, paired_pixels
from train.methods.paired_flow import PairedFlow
from train.recipes.dehaze_model import BaseDehazerRecipe, NewDehazerRecipe
from train.recipes.train import TrainRecipe
from vision.dehaze.dea_net import DEANet
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.dehaze.own_network import OwnNetwork
from vision.dehaze.pipeline import DehazePipeline
from vision.latents import load_autoencoder
from vision.transformer import VideoTransformer


def new_dehazer(model: NewDehazerRecipe, seed: int) -> DehazePipeline:
    """The pipeline that a recipe of pairs begins with, DEA-Net in its training form.

    Args:
        model: its section.
        seed: of random weights.
    """
    if model.weights is not None:
        return load_dehazer(BaseDehazerRecipe(base=model.weights))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.dea_net is not None:
            network: ModelMixin = DEANet(model.dea_net.base_dim, reparameterized=False)
        else:
            assert model.transformer is not None
            network = VideoTransformer(**model.transformer.model_dump())
            network.init_weights()
    return wrapped(network, model, None if model.vae is None else load_autoencoder(model.vae))


def wrapped(network: ModelMixin, model: NewDehazerRecipe, vae: Any) -> DehazePipeline:
    """A pipeline around a network with the settings of a recipe of pairs."""
    return DehazePipeline(
        network,
        vae,
        noise_std=model.noise_std,
        default_num_inference_steps=model.steps,
        tile=model.tile,
        overlap=model.overlap,
    )


def load_dehazer(model: BaseDehazerRecipe) -> DehazePipeline:
    """The pipeline that is adapted, in float32 on the CPU."""
    if model.weights is not None:
        return DehazePipeline(OwnNetwork.from_factory(model.base, model.weights))
    return DehazePipeline.from_pretrained(model.base, dtype=torch.float32)


def check_crop(pipeline: DehazePipeline, side: int) -> None:
    """ValueError where a flow cannot take crops of so many pixels."""
    flow = pipeline.flow
    if flow is not None and side % flow.size_multiple:
        raise ValueError(
            f"data.crop is {side}, expected a multiple of {flow.size_multiple} (the network's patches); "
            "change data.crop"
        )


def paired_objective(pipeline: DehazePipeline, start_share: float) -> Objective:
    """A transformer's own flow loss; L1 of the pixels for other networks."""
    flow: FlowDehazer | None = pipeline.flow
    return paired_pixels if flow is None else PairedFlow(flow, start_share)


def frozen_parts(pipeline: DehazePipeline) -> dict[str, nn.Module]:
    """What a training calls besides the network."""
    return {} if pipeline.vae is None else {"vae": pipeline.vae}


def estimated(
    network: nn.Module, flow: FlowDehazer | None, train: TrainRecipe, crop: int, processes: int, device: str
) -> Estimate:
    """Memory of one network, for ``--dry-run``; activations are known of transformers alone."""
    load = None
    if flow is not None:
        height, width = flow.noise_size(crop, crop)
        shape = (2 * flow.channels, 1, height, width)
        load = Load.of_latents(train.batch_size, shape, flow.transformer.config.patch_size, 1)
    return estimate(NetworkSize.of(network), load, train, averaged=True, processes=processes, device=device)
