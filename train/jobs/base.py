"""The run of a base recipe: data, text encoder and transformer put together."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from train.data.batches import Batches
from train.data.build import build_captioned
from train.estimate import Estimate, Load, NetworkSize, estimate
from train.jobs.drawing import preview_with
from train.jobs.job import Job
from train.methods.flow_matching import FlowMatching
from train.previews import Preview
from train.recipes.base import BaseRecipe
from vision.distill.pipeline import TextToImagePipeline
from vision.latents import load_autoencoder, spatial_factor
from vision.lora.adapters import add_lora, save_lora
from vision.text import TokenEncoder, encode_prompts, load_text_encoder
from vision.transformer import VideoTransformer, VideoTransformerDenoiser
from vision.weights import check_weights

NETWORK = BaseRecipe.networks[0]


class BaseJob(Job[BaseRecipe]):
    """Trains one transformer by flow matching; exports a pipeline's folder or an adapter."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe = self.recipe
        with torch.device("meta"):
            network = self._network()
        config: Any = network.config
        load = Load.of_latents(
            recipe.train.batch_size,
            self._latent_shape(network),
            config.patch_size,
            recipe.text.max_prompt_tokens,
        )
        size = NetworkSize.of(network)
        return {
            NETWORK: estimate(size, load, recipe.train, averaged=True, processes=processes, device=device)
        }

    def prepare(self) -> tuple[FlowMatching, Batches, Preview | None]:
        recipe, flow = self.recipe, self.recipe.flow
        network = self._network()
        config: Any = network.config
        self._latent_shape(network)
        tokenizer, text_encoder = load_text_encoder(recipe.text.encoder)
        # Made before the data, since it says which parts do not fit each other.
        pipeline = self._pipeline(network, text_encoder=text_encoder, tokenizer=tokenizer)
        batches = build_captioned(
            recipe.data,
            vae=self._vae,
            encoder=TokenEncoder(tokenizer, text_encoder, recipe.text.max_prompt_tokens),
            cache=recipe.cache,
            seed=recipe.train.seed,
            channels=None if self._vae else config.in_channels,
            patch_size=config.patch_size[1],
        )
        method = FlowMatching(
            VideoTransformerDenoiser(network),
            null_condition={
                "encoder_hidden_states": encode_prompts(
                    tokenizer, text_encoder, [""], recipe.text.max_prompt_tokens
                )
            },
            time_law=flow.time_law,
            mean=flow.mean,
            std=flow.std,
            shift=flow.shift,
            stratified=flow.stratified,
            prompt_dropout=flow.prompt_dropout,
        )
        preview = preview_with(pipeline, recipe.preview, NETWORK)
        # Embeddings are all that training needs; the encoder's memory is given back.
        pipeline.text_encoder = None
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        network = self._network()
        if self.recipe.lora is not None:
            save_lora(folder, network, weights=weights)
            return "loads with pipeline.load_lora_weights"
        network.load_state_dict(weights)
        self._pipeline(network).save_pretrained(folder)
        return "loads with vision.TextToImagePipeline.from_pretrained, its transformer in diffusers' Wan too"

    def _network(self) -> VideoTransformer:
        model = self.recipe.model
        if model.weights is not None:
            check_weights(Path(model.weights), VideoTransformer)
            network = VideoTransformer.from_pretrained(model.weights, dtype=torch.float32)
        else:
            assert model.architecture is not None
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.recipe.train.seed)
                network = VideoTransformer(**model.architecture.model_dump())
                network.init_weights()
        if self.recipe.lora is not None:
            lora = self.recipe.lora
            add_lora(network, lora.rank, lora.alpha, lora.target_modules, seed=self.recipe.train.seed)
        return network

    def _latent_shape(self, network: VideoTransformer) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of the latents of a picture of the recipe's size."""
        config: Any = network.config
        factor = spatial_factor(self._vae)
        if self._vae is None and config.in_channels not in (1, 3):
            raise ValueError(
                f"the network's in_channels is {config.in_channels}; expected 1 (grey) or 3 (colour) "
                "without an autoencoder; change model.architecture, or give model.vae"
            )
        for name, patch in zip(("height", "width"), config.patch_size[1:], strict=True):
            found = getattr(self.recipe.data, name)
            if found % (factor * patch):
                raise ValueError(
                    f"data.{name} is {found}, expected a multiple of {factor * patch} (patches of {patch} "
                    f"latents, each of {factor} pixels); change data.{name}"
                )
        return config.in_channels, 1, self.recipe.data.height // factor, self.recipe.data.width // factor

    @cached_property
    def _vae(self) -> Any:
        source = self.recipe.model.vae
        return None if source is None else load_autoencoder(source)

    def _pipeline(self, network: VideoTransformer, **text: Any) -> TextToImagePipeline:
        recipe = self.recipe
        return TextToImagePipeline(
            network,
            FlowMatchEulerDiscreteScheduler(shift=recipe.flow.shift),
            vae=self._vae,
            **text,
            default_height=recipe.data.height,
            default_width=recipe.data.width,
            default_num_inference_steps=recipe.preview.steps,
            default_guidance_scale=recipe.preview.guidance_scale,
            max_prompt_tokens=recipe.text.max_prompt_tokens,
            text_encoder_source=recipe.text.encoder,
        )
