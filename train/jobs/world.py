"""The run of a world recipe: clips, an autoencoder and a transformer that takes actions put together."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.models.auto_model import AutoModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from train.data.batches import Batches
from train.data.world_clips import build_world
from train.estimate import Estimate, Load, NetworkSize, estimate
from train.jobs.job import Job
from train.jobs.located import located
from train.jobs.world_preview import world_preview
from train.methods.world import WorldFlow
from train.previews import Preview
from train.recipes.world import WorldRecipe
from vision.latents import latent_channels, load_autoencoder, spatial_factor, temporal_factor
from vision.processes import process_device
from vision.text import EmbeddingsFile
from vision.text.encode import pad_tokens
from vision.transformer import VideoTransformer, VideoTransformerDenoiser
from vision.weights import check_weights
from vision.world.pipeline import WorldPipeline

NETWORK = WorldRecipe.networks[0]


class WorldJob(Job[WorldRecipe]):
    """Trains one transformer by flow matching with a given first frame; exports a pipeline's folder."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe = self.recipe
        configurations = recipe.model.configurations
        with torch.device("meta"):
            network = self._configured(self._blank())
            vae = self._vae if configurations is None else AutoModel.from_config(Path(configurations) / "vae")
        config: Any = network.config
        shape = self._latent_shape(config, vae)
        prompt = self._prompt(config.text_dim)
        if recipe.causal is not None and recipe.causal.times == "clean_past":
            shape = (shape[0], 2 * shape[1], *shape[2:])  # the noisy frames beside the clean ones
        load = Load.of_latents(recipe.train.batch_size, shape, config.patch_size, prompt.shape[1])
        size = NetworkSize.of(network)
        return {
            NETWORK: estimate(size, load, recipe.train, averaged=True, processes=processes, device=device)
        }

    def prepare(self) -> tuple[WorldFlow, Batches, Preview | None]:
        recipe, flow, causal = self.recipe, self.recipe.flow, self.recipe.causal
        network = self._network()
        # Made before the data, since they say which parts do not fit each other.
        self._latent_shape(network.config, self._vae)
        pipeline = self._pipeline(network)
        method = WorldFlow(
            VideoTransformerDenoiser(network),
            prompt=pipeline.prompt_embeds,
            time_law=flow.time_law,
            mean=flow.mean,
            std=flow.std,
            shift=flow.shift,
            stratified=flow.stratified,
            chunk=causal.chunk if causal is not None and causal.times != "clip" else None,
            clean_past=causal is not None and causal.times == "clean_past",
            past_noise=causal.past_noise if causal is not None else 0.0,
            loss=flow.loss,
            weighting=flow.weighting,
            channel_weights=self._channel_weights(),
            action_dropout=flow.action_dropout,
        )
        self._vae.to(process_device())
        batches = build_world(recipe.data, vae=self._vae, cache=recipe.cache, seed=recipe.train.seed)
        preview = None
        if recipe.train.preview_every:
            preview = world_preview(pipeline, recipe.preview, recipe.data, NETWORK)
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        network = self._network()
        network.load_state_dict(weights)
        self._pipeline(network).save_pretrained(folder)
        return "loads with vision.WorldPipeline.from_pretrained"

    def _network(self) -> VideoTransformer:
        model = self.recipe.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.train.seed)
            if model.weights is None:
                network = self._blank()
                network.init_weights()
            else:
                name, options = located(model.weights)
                if not options:
                    check_weights(Path(name), VideoTransformer)
                network = VideoTransformer.from_pretrained(name, dtype=torch.float32, **options)
            return self._configured(network)

    def _blank(self) -> VideoTransformer:
        """A network of the right shape with whatever weights."""
        model = self.recipe.model
        if model.architecture is not None:
            return VideoTransformer(**model.architecture.model_dump())
        assert model.weights is not None
        name, options = located(model.weights)
        if model.configurations is not None:
            name, options = str(Path(model.configurations) / "transformer"), {}
        config: Any = VideoTransformer.load_config(name, **options)
        network: Any = VideoTransformer.from_config(config)
        return network

    def _configured(self, network: VideoTransformer) -> VideoTransformer:
        """The network with the recipe's modules for actions and its causality."""
        causal = self.recipe.causal
        present = network.config.get("conditioning") or {}
        for name, options in self.recipe.actions.modules.items():
            if name not in present:
                network.add_conditioning(name, **options)
            elif options and options != present[name]:
                raise ValueError(
                    f"the weights have the module {name} with the options {present[name]}, the recipe asks "
                    f"for {options}; leave these out, or begin from other weights"
                )
        if causal is None:
            network.unset_causal()
        else:
            network.set_causal(causal.chunk, causal.window)
        if self.recipe.model.previous_frame and network.previous_patch_embedding is None:
            network.add_previous_frame()
        return network

    def _latent_shape(self, config: Any, vae: Any) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of the latents of a sample."""
        data, factor = self.recipe.data, spatial_factor(vae)
        for name, patch in zip(("height", "width"), config.patch_size[1:], strict=True):
            found = getattr(data, name)
            if found % (factor * patch):
                raise ValueError(
                    f"data.{name} is {found}, expected a multiple of {factor * patch} (patches of {patch} "
                    f"latents, each of {factor} pixels); change data.{name}"
                )
        channels = latent_channels(vae)
        assert channels is not None
        return (
            channels,
            (data.frames - 1) // temporal_factor(vae) + 1,
            data.height // factor,
            data.width // factor,
        )

    @cached_property
    def _vae(self) -> Any:
        assert self.recipe.model.vae is not None
        name, options = located(self.recipe.model.vae)
        return load_autoencoder(name, **options).requires_grad_(False)

    def _channel_weights(self) -> Tensor | None:
        """Of the loss: the variances of the autoencoder's own latents to the power 1 - detail, mean 1."""
        detail, deviations = self.recipe.flow.detail, self._vae.config.get("latents_std")
        if detail == 1:
            return None
        if deviations is None:
            raise ValueError(
                f"flow.detail is {detail}, and {type(self._vae).__name__} does not say how its channels vary "
                "(latents_std); set flow.detail: 1"
            )
        weights = torch.tensor(deviations).square() ** (1 - detail)
        return weights / weights.mean()

    def _prompt(self, text_dim: int) -> Tensor:
        """The embedding of every clip's prompt, float32, shape (1, M, text_dim)."""
        path = self.recipe.model.prompt
        if path is None:
            return torch.zeros(1, 1, text_dim)
        file = EmbeddingsFile(path)
        row = file[file.prompts[0]].get("encoder_hidden_states")
        if row is None or row.shape[-1] != text_dim:
            raise ValueError(
                f"{path} has {'no encoder_hidden_states' if row is None else f'width {row.shape[-1]}'}, "
                f"the network takes prompt embeddings of width {text_dim}; encode the prompt with the text "
                "encoder of its pipeline"
            )
        return pad_tokens([row.float()], file.max_length)

    def _pipeline(self, network: VideoTransformer) -> WorldPipeline:
        recipe = self.recipe
        pipeline = WorldPipeline(
            network,
            FlowMatchEulerDiscreteScheduler(shift=recipe.flow.shift),
            self._vae,
            default_height=recipe.data.height,
            default_width=recipe.data.width,
            default_num_inference_steps=recipe.preview.steps,
            default_action_guidance_scale=recipe.preview.action_guidance_scale,
            frame_rate=recipe.data.frame_rate,
        )
        config: Any = network.config
        pipeline.prompt_embeds = self._prompt(config.text_dim)
        return pipeline
