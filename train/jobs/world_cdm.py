"""The run of a world_cdm recipe: a causal world becomes one of few steps, on its own streams."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.data.batches import Batches
from train.data.world_clips import build_world
from train.estimate import Estimate, Load, NetworkSize, estimate
from train.jobs.cdm import CDMJob
from train.jobs.job import Job
from train.jobs.networks import distillation_networks
from train.jobs.world_preview import world_preview
from train.methods.cdm import CDM
from train.methods.world_rollouts import WorldRollouts
from train.previews import Preview
from train.recipes.world_cdm import WorldCDMRecipe
from vision.distill.families.family import load_parameters
from vision.distill.families.scheduler import flow_shift
from vision.latents import latent_channels, spatial_factor, temporal_factor
from vision.processes import process_device
from vision.transformer import VideoTransformer
from vision.world.chunk_denoiser import ChunkDenoiser
from vision.world.pipeline import WorldPipeline


class WorldCDMJob(Job[WorldCDMRecipe]):
    """Distils ``recipe.teacher``; exports a pipeline of few steps a chunk, without guidance."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        train = self.recipe.train
        config = self._teacher.transformer.config
        _, rows, columns = config.patch_size
        _, height, width = self._frame_shape
        # The noisy frames beside the clean ones.
        tokens = 2 * self._frames * (height // rows) * (width // columns)
        prompt = self._teacher.prompt_embeds.shape[1]
        with torch.device("meta"):
            network: Any = VideoTransformer.from_config(config)
            networks = self._networks(network)
        return {
            name: estimate(
                NetworkSize.of(network),
                Load(train.batch_size * CDMJob.samples_at_once.get(name, 1), tokens, prompt),
                train,
                averaged=name == self.recipe.networks[0],
                processes=processes,
                device=device,
            )
            for name, network in networks.items()
        }

    def prepare(self) -> tuple[CDM, Batches, Preview | None]:
        recipe, pipeline = self.recipe, self._teacher
        channels, height, width = self._frame_shape
        denoisers = {
            name: ChunkDenoiser(network) for name, network in self._networks(pipeline.transformer).items()
        }
        chunk = denoisers["teacher"].chunk
        _, rows, columns = pipeline.transformer.config.patch_size
        scheduler = pipeline.scheduler
        method = CDM(
            **denoisers,
            settings=recipe.cdm,
            null_condition={"action_dropped": torch.ones(1, dtype=torch.bool)},
            latent_shape=(channels, chunk, height, width),
            shift=flow_shift(
                type(scheduler).__name__, scheduler.config, chunk * (height // rows) * (width // columns)
            ),
            rollouts=WorldRollouts(
                denoisers["teacher"].chunks(self._frames), pipeline.prompt_embeds, recipe.recorded_past
            ),
        )
        pipeline.vae.to(process_device())
        batches = build_world(recipe.data, vae=pipeline.vae, cache=recipe.cache, seed=recipe.train.seed)
        preview = None
        if recipe.train.preview_every:
            few_step = {"sigmas": recipe.grid, "action_guidance_scale": 1.0}
            preview = world_preview(
                pipeline, recipe.preview, recipe.data, recipe.networks[0], few_step, reference="teacher"
            )
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        # Loaded afresh: the loop has cast, compiled or sharded the teacher in place.
        pipeline = self._loaded()
        grid = self.recipe.grid
        pipeline.register_to_config(
            default_sigmas=grid, default_num_inference_steps=len(grid), default_action_guidance_scale=1.0
        )
        load_parameters(pipeline.transformer, weights)
        pipeline.save_pretrained(folder)
        return "loads with vision.WorldPipeline.from_pretrained and is drawn on its few-step grid"

    def _networks(self, transformer: nn.Module) -> dict[str, nn.Module]:
        return distillation_networks(transformer, "full", None, self.recipe.networks, self.recipe.train.seed)

    @property
    def _frames(self) -> int:
        """Latent frames of a clip."""
        return (self.recipe.data.frames - 1) // temporal_factor(self._teacher.vae) + 1

    @property
    def _frame_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents.

        Raises:
            ValueError: the teacher was made for another size.
        """
        data, config, vae = self.recipe.data, self._teacher.config, self._teacher.vae
        for name in ("height", "width"):
            found, own = getattr(data, name), config[f"default_{name}"]
            if own is not None and found != own:
                raise ValueError(
                    f"data.{name} is {found}, but {self.recipe.teacher} was made for {own}; change it"
                )
        channels, factor = latent_channels(vae), spatial_factor(vae)
        assert channels is not None
        return channels, data.height // factor, data.width // factor

    @cached_property
    def _teacher(self) -> WorldPipeline:
        return self._loaded()

    def _loaded(self) -> Any:
        return WorldPipeline.from_pretrained(self.recipe.teacher, dtype=torch.float32)
