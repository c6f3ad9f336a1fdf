"""The run of a try-on recipe: clips, texts, an autoencoder and a transformer put together."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers.models.auto_model import AutoModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from train.data.batches import Batches
from train.data.build_tryon import build_tryon
from train.estimate import Estimate, Load, NetworkSize, estimate
from train.jobs.job import Job
from train.jobs.located import located
from train.jobs.tryon_network import blank_network, configured, tryon_network, with_weights
from train.jobs.tryon_preview import preview_clips, tryon_preview
from train.methods.tryon import TryOnFlow
from train.previews import Preview
from train.recipes.tryon import TryOnRecipe
from train.recipes.tryon_data import TryOnDataRecipe
from vision.latents import latent_channels, load_autoencoder, spatial_factor
from vision.processes import process_device
from vision.text import load_text_encoder
from vision.transformer import VideoTransformer
from vision.tryon.denoiser import TryOnDenoiser
from vision.tryon.parts import has_guider, splits_control
from vision.tryon.pipeline import TryOnPipeline
from vision.tryon.segments import latent_frames
from vision.tryon.timing import Timing

NETWORK = TryOnRecipe.networks[0]


class TryOnJob(Job[TryOnRecipe]):
    """Trains one transformer by flow matching with an action term; exports a pipeline's folder."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe, model = self.recipe, self.recipe.model
        with torch.device("meta"):
            # Of meta tensors adapters and fresh parts have their sizes, too.
            vae = (
                self._vae
                if model.configurations is None
                else AutoModel.from_config(Path(model.configurations) / "vae")
            )
            network = configured(blank_network(recipe), recipe, vae)
        config: Any = network.config
        shape = latent_shape(recipe.data, config, vae)
        load = Load.of_latents(
            recipe.train.batch_size, shape, config.patch_size, recipe.text.max_prompt_tokens
        )
        size = NetworkSize.of(network)
        return {
            NETWORK: estimate(size, load, recipe.train, averaged=True, processes=processes, device=device)
        }

    def prepare(self) -> tuple[TryOnFlow, Batches, Preview | None]:
        recipe, flow = self.recipe, self.recipe.flow
        network = tryon_network(recipe, self._vae)
        # Made before the data, since they say which parts do not fit each other.
        latent_shape(recipe.data, network.config, self._vae)
        text = load_text_encoder(recipe.text.encoder)
        pipeline = self._pipeline(network, text)
        guided = has_guider(network)
        shown = preview_clips(recipe.preview, recipe.data, guided) if recipe.train.preview_every else []
        self._vae.to(process_device())
        batches, texts = build_tryon(
            recipe.data,
            vae=self._vae,
            split_context=splits_control(network.config, self._vae),
            text=text,
            max_prompt_tokens=recipe.text.max_prompt_tokens,
            timing=Timing(**recipe.timing.model_dump()) if guided else None,
            cache=recipe.cache,
            seed=recipe.train.seed,
            also=[said for clip in shown for said in clip.texts],
        )
        method = TryOnFlow(
            TryOnDenoiser(network, texts.of([""])["encoder_hidden_states"], recipe.reference_padding),
            time_law=flow.time_law,
            mean=flow.mean,
            std=flow.std,
            shift=flow.shift,
            stratified=flow.stratified,
            loss=flow.loss,
            action_weight=flow.action_weight,
            action_norm=flow.action_norm,
            prompt_dropout=flow.prompt_dropout,
            action_dropout=flow.action_dropout,
        )
        # Embeddings are all that training needs; the encoder's memory is given back.
        pipeline.text_encoder = None
        preview = tryon_preview(pipeline, shown, texts, recipe.preview, NETWORK) if shown else None
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        network = with_weights(tryon_network(self.recipe, self._vae), weights)
        self._pipeline(network, load_text_encoder(self.recipe.text.encoder)).save_pretrained(folder)
        return "loads with vision.TryOnPipeline.from_pretrained"

    @cached_property
    def _vae(self) -> Any:
        assert self.recipe.model.vae is not None
        name, options = located(self.recipe.model.vae)
        return load_autoencoder(name, **options).requires_grad_(False)

    def _pipeline(self, network: VideoTransformer, text: tuple[Any, Any]) -> TryOnPipeline:
        recipe, encoder = self.recipe, self.recipe.text.encoder
        # An encoder of a package is found again anywhere; any other is saved with the pipeline.
        source = encoder if encoder.startswith("package:") else None
        parts: dict[str, Any] = {} if source else {"tokenizer": text[0], "text_encoder": text[1]}
        return TryOnPipeline(
            network,
            FlowMatchEulerDiscreteScheduler(shift=recipe.flow.shift),
            self._vae,
            **parts,
            default_num_inference_steps=recipe.preview.steps,
            default_guidance_scale=recipe.preview.guidance_scale,
            max_prompt_tokens=recipe.text.max_prompt_tokens,
            text_encoder_source=source,
            timing=recipe.timing.model_dump(),
            reference_padding=recipe.reference_padding,
            window_frames=recipe.data.frames,
            window_overlap=min(5, recipe.data.frames - 4),
            frame_rate=recipe.frame_rate,
            trained_with_actions=recipe.data.actions and has_guider(network),
        )


def latent_shape(data: TryOnDataRecipe, config: Any, vae: Any) -> tuple[int, int, int, int]:
    """Channels, frames with the garment's, height and width of the latents of a sample.

    Raises:
        ValueError: a size that the patches do not tile.
    """
    factor, channels = spatial_factor(vae), latent_channels(vae)
    for name, patch in zip(("height", "width"), config.patch_size[1:], strict=True):
        found = getattr(data, name)
        if found % (factor * patch):
            raise ValueError(
                f"data.{name} is {found}, expected a multiple of {factor * patch} (patches of {patch} "
                f"latents of {factor} pixels); change data.{name}"
            )
    assert channels is not None
    return channels, 1 + latent_frames(data.frames), data.height // factor, data.width // factor
